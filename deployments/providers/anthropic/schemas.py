"""JSON Schemas in the subset that Anthropic accepts for strict tools and for structured output.

The subset is that of the SDK's own helper (anthropic 2.12, `transform_schema`), which fails for a list of types:
objects are closed, and every other rule becomes a part of the description, which the model reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_KEPT: Final = frozenset({"$ref", "type", "enum", "const", "title", "required"})
_GROUPS: Final = frozenset({"properties", "$defs", "definitions"})
_ALTERNATIVES: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


def accepted_schema(schema: Any, description: str | None = None) -> Any:
    """Return the schema without the rules that are refused; `description` stands where it has none of its own."""
    if not isinstance(schema, Mapping):
        return schema
    kept: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _GROUPS and isinstance(value, Mapping):
            kept[name] = {inner: accepted_schema(one) for inner, one in value.items()}
        elif name in _ALTERNATIVES and isinstance(value, list):
            kept[_ALTERNATIVES[name]] = [accepted_schema(one) for one in value]
        elif name == "items":
            kept[name] = accepted_schema(value)
        elif _is_kept(name, value):
            kept[name] = value
        elif name not in ("description", "$schema", "additionalProperties") or (
            name == "additionalProperties" and value is not False
        ):
            notes[name] = value
    if _is_object(schema):
        kept["additionalProperties"] = False
    text = "\n\n".join(part for part in (schema.get("description") or description, _noted(notes)) if part)
    return kept | ({"description": text} if text else {})


def _is_kept(name: str, value: Any) -> bool:
    if name == "format":
        return value in _FORMATS
    return name in _KEPT or (name == "minItems" and value in (0, 1))


def _is_object(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    return kinds == "object" or (isinstance(kinds, list) and "object" in kinds) or "properties" in schema


def _noted(notes: Mapping[str, Any]) -> str:
    return json.dumps(notes, ensure_ascii=False, default=str) if notes else ""
