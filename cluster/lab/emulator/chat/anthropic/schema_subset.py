"""The subset of JSON Schema that strict tools and structured output support.

Anthropic's page on structured outputs, read 2026-11-30: objects are closed; bounds of numbers, lengths and large
`minItems` are refused; a schema refers to itself nowhere and to no other document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_LEVELS: Final = 60
_TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_REFUSED: Final = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "oneOf",
    "not",
    "if",
)
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


def shape_fault(schema: Any) -> str | None:
    """Return the first part of a schema that is no JSON Schema, or None."""
    return next((fault for part in _parts(schema, 0) if (fault := _shape(part))), None)


def subset_fault(schema: Any) -> str | None:
    """Return the first rule that strict mode does not support, or None."""
    return next((fault for part in _parts(schema, 0) if (fault := _shape(part) or _subset(part))), None)


def _shape(part: Any) -> str | None:
    if isinstance(part, bool):
        return None
    if not isinstance(part, Mapping):
        return "a schema must be an object"
    kinds = part.get("type", [])
    if not all(kind in _TYPES for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return f"{kinds!r} is no type"
    if not isinstance(part.get("properties", {}), Mapping) or not isinstance(part.get("required", []), list):
        return "'properties' must be an object and 'required' an array"
    return None


def _subset(part: Any) -> str | None:
    if not isinstance(part, Mapping):
        return "a schema must be an object"
    kind = part.get("type")
    if (kind == "object" or "properties" in part) and part.get("additionalProperties") is not False:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    refused = next((name for name in _REFUSED if name in part), None)
    if refused is not None:
        return f"For '{kind}' type, property '{refused}' is not supported"
    if part.get("minItems", 0) not in (0, 1):
        return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if part.get("format", "uuid") not in _FORMATS:
        return f"For 'string' type, the format '{part['format']}' is not supported"
    if not str(part.get("$ref", "#")).startswith("#"):
        return "External schema references are not supported"
    return None


def _parts(schema: Any, level: int) -> Iterator[Any]:
    """Yield a schema and all schemas inside it."""
    yield schema
    if not isinstance(schema, Mapping) or level > MAX_LEVELS:
        return
    for group in ("properties", "$defs", "definitions"):
        if isinstance(inner := schema.get(group), Mapping):
            for one in inner.values():
                yield from _parts(one, level + 1)
    for name in ("items", "additionalProperties"):
        if name in schema and schema[name] is not False:
            yield from _parts(schema[name], level + 1)
    for group in ("anyOf", "allOf", "oneOf", "prefixItems"):
        if isinstance(inner := schema.get(group), list):
            for one in inner:
                yield from _parts(one, level + 1)
