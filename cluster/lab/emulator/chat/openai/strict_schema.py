"""Check a JSON Schema by OpenAI's rules for function parameters and for strict structured output.

OpenAI's structured outputs guide, read 2026-11-30: every object closed, every property required, the root an object
without alternatives, at most 5,000 properties in at most 10 levels, and no composition by `allOf`, `not` and the like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_PROPERTIES: Final = 5_000
MAX_LEVELS: Final = 10
MAX_NESTING: Final = 100
_FORBIDDEN: Final = ("allOf", "oneOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else")
_TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def schema_fault(schema: Any, strict: bool) -> str | None:
    """Return the first fault of the schema of an object, or None."""
    if not isinstance(schema, Mapping):
        return "the schema is no object"
    if not strict and not schema:
        # A function without parameters.
        return None
    if schema.get("type") != "object":
        return f"the schema must have the type 'object', not {schema.get('type')!r}"
    if strict and "anyOf" in schema:
        return "'anyOf' is not permitted at the root"
    return next(_faults(schema, (), strict, [0]), None)


def _faults(schema: Any, where: tuple[str, ...], strict: bool, properties: list[int]) -> Iterator[str]:
    """Yield the faults of a schema and of those inside it; `properties` counts them over the whole document."""
    context = f"in context={where}"
    if len(where) > MAX_NESTING:
        yield "the schema is nested too deeply"
        return
    if isinstance(schema, bool):
        if strict:
            yield f"{context}, a schema must be an object"
        return
    if not isinstance(schema, Mapping):
        yield f"{context}, a schema must be an object or a boolean"
        return
    yield from (f"{context}, {fault}" for fault in _shape_faults(schema))
    if strict:
        yield from (f"{context}, {fault}" for fault in _strict_faults(schema, where, properties))
    for name, inner in _inner(schema):
        yield from _faults(inner, (*where, name), strict, properties)


def _shape_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    kinds = schema.get("type", [])
    if not all(kind in _TYPES for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        yield f"{kinds!r} is no type"
    if not isinstance(schema.get("properties", {}), Mapping):
        yield "'properties' must be an object"
    if not isinstance(schema.get("required", []), list):
        yield "'required' must be an array"
    if kinds == "array" and "items" not in schema and "prefixItems" not in schema:
        yield "an array needs 'items'"


def _strict_faults(schema: Mapping[str, Any], where: tuple[str, ...], properties: list[int]) -> Iterator[str]:
    yield from (f"'{name}' is not permitted" for name in _FORBIDDEN if name in schema)
    if not {"type", "anyOf", "$ref", "enum", "const"} & set(schema):
        yield "a schema needs a 'type'"
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield "'additionalProperties' must be false"
        names = schema.get("properties", {})
        missing = [name for name in names if name not in schema.get("required", [])]
        if missing:
            yield f"'required' must hold every property, and lacks '{missing[0]}'"
        properties[0] += len(names)
        if properties[0] > MAX_PROPERTIES:
            yield f"there are more than {MAX_PROPERTIES} properties"
    if sum(step.startswith("properties.") for step in where) > MAX_LEVELS:
        yield f"objects are nested deeper than {MAX_LEVELS} levels"


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the schemas directly inside a schema, each with its step in the path."""
    for group in ("properties", "$defs", "definitions"):
        if isinstance(inner := schema.get(group), Mapping):
            for name, value in inner.items():
                yield f"{group}.{name}", value
    for name in ("items", "additionalProperties"):
        if isinstance(inner := schema.get(name), Mapping):
            yield name, inner
    for group in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(inner := schema.get(group), list):
            yield from ((group, value) for value in inner)
