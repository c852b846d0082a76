"""Check the shape of a request's JSON as OpenAI does, with its codes and parameter paths.

Codes and paths were read on 2026-11-30 in two public records of calls to the live API: the tests of a proxy
(gpt-5.6-terra, 2026-08-30) and a table of deployments (gpt-5.6, gpt-5.4-mini, gpt-4o, 2026-09-03). The sentences only
resemble OpenAI's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cluster.lab.emulator.core.request import RequestProblem

NAME_PATTERN = re.compile(r"[a-zA-Z0-9_-]+")
MAX_NAME = 64


class InvalidRequest(Exception):
    """A request that OpenAI refuses with status 400."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.problem = RequestProblem(message, code, param)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The type and the bounds of one field; `values` are those of a choice."""

    kind: Literal["integer", "decimal", "boolean", "string", "object", "array", "choice", "any"]
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    nullable: bool = True


_WANTED = {
    "integer": "an integer",
    "decimal": "a decimal",
    "boolean": "a boolean",
    "string": "a string",
    "object": "an object",
    "array": "an array of objects",
    "choice": "a string",
}


def check_fields(body: Mapping[str, Any], fields: Mapping[str, Field], path: str = "") -> None:
    """Raise InvalidRequest for a field that is unknown, of the wrong type, or out of bounds."""
    only(body, fields, path)
    for name, field in fields.items():
        if name in body:
            _check(body[name], at(path, name), field)


def only(body: Mapping[str, Any], names: Collection[str], path: str = "") -> None:
    """Raise InvalidRequest for the first field that is not among `names`."""
    for name in body:
        if name not in names:
            raise InvalidRequest(f"Unknown parameter: '{at(path, name)}'.", at(path, name), "unknown_parameter")


def at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def required(body: Mapping[str, Any], name: str, path: str = "") -> Any:
    """Return a field, or raise InvalidRequest if it is missing."""
    if name not in body:
        raise InvalidRequest(f"The parameter '{at(path, name)}' is missing.", at(path, name), MISSING)
    return body[name]


MISSING = "missing_required_parameter"


def read_object(value: Any, path: str) -> Mapping[str, Any]:
    _check(value, path, Field(kind="object", nullable=False))
    return dict(value)


def read_objects(value: Any, path: str, most: int | None = None) -> Sequence[Mapping[str, Any]]:
    """Return a non-empty array of objects."""
    _check(value, path, Field(kind="array", nullable=False))
    if not value:
        raise InvalidRequest(f"'{path}' is an empty array; it needs at least one item.", path, "empty_array")
    if most is not None and len(value) > most:
        raise InvalidRequest(
            f"'{path}' has {len(value)} items; at most {most} are accepted.", path, "array_above_max_length"
        )
    return [read_object(item, f"{path}[{index}]") for index, item in enumerate(value)]


def read_text(value: Any, path: str, most: int | None = None) -> str:
    _check(value, path, Field(kind="string", nullable=False))
    if most is not None and len(value) > most:
        raise InvalidRequest(
            f"'{path}' has {len(value)} characters; at most {most} are accepted.", path, "string_above_max_length"
        )
    return str(value)


def read_name(value: Any, path: str) -> str:
    """Return the name of a tool or a schema."""
    name = read_text(value, path, MAX_NAME)
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidRequest(f"'{path}' does not match '^[a-zA-Z0-9_-]+$'.", path, "invalid_value")
    return name


def read_choice(value: Any, path: str, values: tuple[str, ...]) -> str:
    _check(value, path, Field(kind="choice", values=values, nullable=False))
    return str(value)


def _check(value: Any, path: str, field: Field) -> None:
    if field.kind == "any" or (value is None and field.nullable):
        return
    if not _is(value, field.kind):
        wanted, got = _WANTED[field.kind], _kind_of(value)
        raise InvalidRequest(f"'{path}' must be {wanted}, not {got}.", path, "invalid_type")
    if field.kind == "choice" and value not in field.values:
        raise InvalidRequest(f"'{value}' is not accepted; use one of {field.values}.", path, "invalid_value")
    if field.kind in ("integer", "decimal"):
        _check_bounds(value, path, field)


def _check_bounds(value: float, path: str, field: Field) -> None:
    if field.low is not None and value < field.low:
        raise InvalidRequest(f"'{path}' is {value}, below {field.low:g}.", path, f"{field.kind}_below_min_value")
    if field.high is not None and value > field.high:
        raise InvalidRequest(f"'{path}' is {value}, above {field.high:g}.", path, f"{field.kind}_above_max_value")


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    types: dict[str, type | tuple[type, ...]] = {
        "integer": int,
        "decimal": (int, float),
        "boolean": bool,
        "string": str,
        "choice": str,
        "object": dict,
        "array": list,
    }
    return isinstance(value, types[kind])


def _kind_of(value: Any) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")
