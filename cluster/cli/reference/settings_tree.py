"""List every setting below `args` with its allowed values, its default and its meaning."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from cluster.cli.reference.field_docs import field_docs
from cluster.config.settings import AppSettings

MAX_DEFAULT_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the reference."""

    path: str
    values: str
    default: str
    meaning: str


def settings() -> Iterator[Setting]:
    """Yield the settings in the order of their definition."""
    schema = TypeAdapter(AppSettings).json_schema()
    yield from _children(schema, schema.get("$defs", {}), "", _classes(AppSettings, {}))


def _children(
    schema: Mapping[str, Any], defs: Mapping[str, Any], path: str, classes: Mapping[str, type]
) -> Iterator[Setting]:
    kind = classes.get(schema.get("title", ""))
    docs = field_docs(kind) if kind is not None else {}
    for name, field in schema.get("properties", {}).items():
        inner, suffix = _nested(field, defs)
        here = f"{path}{name}{suffix}"
        if inner is not None:
            yield from _children(inner, defs, f"{here}.", classes)
        else:
            default = json.dumps(field["default"]) if "default" in field else "required"
            shown = default if len(default) <= MAX_DEFAULT_CHARS else "see the source"
            if "default" not in field and name not in schema.get("required", ()):
                shown = "computed"
            yield Setting(path=here, values=values_of(field, defs), default=shown, meaning=docs.get(name, ""))


def _nested(field: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """Return the schema of the settings inside a field, if it holds any, and the steps to one of them."""
    for option in (field, *field.get("anyOf", ())):
        for inner, suffix in (
            (option, ""),
            (option.get("additionalProperties"), ".NAME"),
            (option.get("items"), "[]"),
        ):
            if isinstance(inner, Mapping) and "$ref" in inner:
                found = defs[inner["$ref"].rpartition("/")[2]]
                if "properties" in found:
                    return found, suffix
    return None, ""


def values_of(field: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """Return the allowed values of a field in words."""
    if "$ref" in field:
        return values_of(defs[field["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in field:
        return " or ".join(values_of(option, defs) for option in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    kind = {"array": "list", "object": "mapping", "string": "text"}.get(field.get("type", ""), field.get("type", "any"))
    if "items" in field:
        kind = f"list of {values_of(field['items'], defs)}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]:g}" for name, sign in bounds.items() if name in field]
    pattern = [f"like `{field['pattern']}`"] if "pattern" in field else []
    return " ".join([kind, *[", ".join(limits)] * bool(limits), *pattern])


def _classes(kind: Any, found: dict[str, type]) -> dict[str, type]:
    """Return the settings classes below a class by their names."""
    if isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)):
        if kind.__name__ not in found:
            found[kind.__name__] = kind
            fields = getattr(kind, "__pydantic_fields__", {})
            for field in fields.values():
                _classes(field.annotation, found)
    for inner in get_args(kind):
        _classes(inner, found)
    return found
