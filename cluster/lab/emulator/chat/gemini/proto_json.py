"""Read JSON as Google's servers do: by the fields of a protobuf message, in either spelling of their names."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic.alias_generators import to_camel, to_snake

from cluster.lab.emulator.chat.gemini.fields import ENUMERATIONS, MESSAGES
from cluster.lab.emulator.core.request import RequestProblem

Fields = dict[str, Any]
_TYPES: Final = {"int": "TYPE_INT32", "number": "TYPE_DOUBLE", "bool": "TYPE_BOOL", "bytes": "TYPE_BYTES"}
_MOST_INT: Final = 2**31
MAX_DEPTH: Final = 60
"""A schema nests; Google's limit of protobuf messages is 100."""


class InvalidArgument(Exception):
    """A request that Gemini refuses with 400 INVALID_ARGUMENT. `field` is its path, where an error of JSON names it."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.problem = RequestProblem(message, param=field)


def read_message(value: Any, message: str, path: str = "", depth: int = 0) -> Fields:
    """Return the fields by their names in snake case; raises InvalidArgument for an unknown name or a wrong type."""
    if not isinstance(value, Mapping) or depth > MAX_DEPTH:
        raise _invalid(path, f"type.googleapis.com/google.ai.generativelanguage.v1beta.{message}")
    known, read = MESSAGES[message], Fields()
    for name, item in value.items():
        field = to_snake(name)
        if field not in known or name not in (field, to_camel(field)):
            at = f" at '{path}'" if path else ""
            raise InvalidArgument(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.', path)
        if item is not None:
            read[field] = _field(item, known[field], f"{path}.{field}" if path else field, depth)
    return read


def _field(value: Any, kind: str, path: str, depth: int) -> Any:
    if kind.startswith("["):
        if not isinstance(value, list):
            raise _invalid(path, "TYPE_LIST")
        return [_value(item, kind[1:-1], f"{path}[{index}]", depth) for index, item in enumerate(value)]
    if kind.startswith("{"):
        if not isinstance(value, Mapping):
            raise _invalid(path, "TYPE_MAP")
        pairs = enumerate(value.items())
        return {name: _value(item, kind[1:-1], f"{path}[{index}].value", depth) for index, (name, item) in pairs}
    if isinstance(value, list) and kind != "any":
        parent, _, name = path.rpartition(".")
        raise InvalidArgument(
            f"Invalid JSON payload received. Unknown name \"{name}\" at '{parent}': Proto field is not repeating,"
            " cannot start list.",
            parent,
        )
    return _value(value, kind, path, depth)


def _value(value: Any, kind: str, path: str, depth: int) -> Any:
    if kind in MESSAGES:
        return read_message(value, kind, path, depth + 1)
    if kind in ENUMERATIONS:
        return _enumerated(value, kind, path)
    if kind == "bytes":
        return _bytes(value, path)
    if kind == "int":
        return _integer(value, path)
    right = {
        "any": True,
        "string": isinstance(value, str) and _is_unicode(value),
        "bool": isinstance(value, bool),
        "struct": isinstance(value, Mapping),
        "number": isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
    }[kind]
    if not right:
        raise _invalid(path, _TYPES.get(kind, f"TYPE_{kind.upper()}"))
    return value


def _is_unicode(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair, which JSON can escape and UTF-8 cannot encode."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _enumerated(value: Any, kind: str, path: str) -> str:
    name = str(value).upper().removeprefix("SERVICE_TIER_")
    if name not in ENUMERATIONS[kind]:
        raise InvalidArgument(f"Invalid value at '{path}' ({kind}), \"{value}\"", path)
    return name


def _integer(value: Any, path: str) -> int:
    # Protobuf's JSON also has integers as text and as decimals without a fraction.
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number != int(number) or not -_MOST_INT <= number < _MOST_INT:
        raise _invalid(path, _TYPES["int"])
    return int(number)


def _bytes(value: Any, path: str) -> bytes:
    """Decode base64 of either alphabet, with or without padding."""
    text = value.rstrip("=").replace("-", "+").replace("_", "/") if isinstance(value, str) else "?"
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument(f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed.", path) from None


def _invalid(path: str, kind: str) -> InvalidArgument:
    return InvalidArgument(f"Invalid value at '{path}' ({kind})", path)
