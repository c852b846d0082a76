"""Generate a minimal instance of a JSON Schema, within bounds of depth and size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

MAX_DEPTH: Final = 40
MAX_VALUES: Final = 5_000
"""References can multiply: a schema of a few lines may describe an instance of millions of values."""
ANY_OBJECT: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"answer": {"type": "string", "default": "This answer is simulated."}},
    "required": ["answer"],
}
"""The schema of an answer that must be a JSON object of any kind."""
_FORMATS: Final = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class SchemaHasNoInstance(ValueError):
    """No instance was found within the bounds."""


def minimal_instance(schema: Any) -> Any:
    """Return an instance with the required properties alone.

    `default`, `const`, `enum`, `$ref`, `allOf`, `anyOf`, `oneOf`, and the bounds of numbers, strings and arrays are
    obeyed. `pattern`, `not` and conditions are not. Raises SchemaHasNoInstance for a schema that needs more than
    MAX_DEPTH levels or MAX_VALUES values, or has a reference to nothing.
    """
    return _Generator(schema).instance(schema, 0)


def minimal_json(schema: Any) -> str:
    """Return a minimal instance as JSON, or an empty object for a schema without one."""
    try:
        return json.dumps(minimal_instance(schema))
    except (SchemaHasNoInstance, TypeError, AttributeError):
        # A schema of the wrong shape is for the vendor's own checks to refuse.
        return "{}"


class _Generator:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._values = 0

    def instance(self, schema: Any, depth: int) -> Any:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES or schema is False:
            raise SchemaHasNoInstance
        if not isinstance(schema, Mapping):
            return {}
        for known in ("default", "const"):
            if known in schema:
                return schema[known]
        if schema.get("enum"):
            return schema["enum"][0]
        if "$ref" in schema:
            return self.instance(self._resolved(str(schema["$ref"])), depth + 1)
        return self._composed(schema, depth)

    def _composed(self, schema: Mapping[str, Any], depth: int) -> Any:
        if schema.get("allOf"):
            return self.instance(self._merged(schema), depth + 1)
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if not alternatives:
            return self._typed(schema, depth)
        # A recursive alternative would end at the deepest level only, so it comes last.
        for alternative in sorted(alternatives, key=lambda one: "$ref" in str(one)):
            try:
                return self.instance(alternative, depth + 1)
            except SchemaHasNoInstance:
                continue
        raise SchemaHasNoInstance

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = _type_of(schema)
        if kind == "object":
            properties = schema.get("properties", {})
            return {name: self.instance(properties.get(name, {}), depth + 1) for name in schema.get("required", ())}
        if kind == "array":
            first = list(schema.get("prefixItems", ()))
            count = max(int(schema.get("minItems", 0)), len(first))
            if count > MAX_VALUES:
                raise SchemaHasNoInstance
            items = [*first, *([schema.get("items", {})] * (count - len(first)))]
            return [self.instance(item, depth + 1) for item in items]
        return _scalar(kind, schema)

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            self._values += 1
            if self._values > MAX_VALUES:
                raise SchemaHasNoInstance
            part = self._resolved(str(part["$ref"])) if "$ref" in part else part
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged |= {**part, "properties": properties, "required": list(dict.fromkeys(required))}
        return merged

    def _resolved(self, reference: str) -> Any:
        """Return the schema of a reference into the document, such as `#/$defs/Name`."""
        target, found = reference.removeprefix("#").split("/")[1:], self._root
        for step in target:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise SchemaHasNoInstance(f"{reference} refers to nothing")
            found = found[name]
        return found


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "array" if "items" in schema else "object" if "properties" in schema else "string"
    return str(kind).lower()


def _scalar(kind: str, schema: Mapping[str, Any]) -> Any:
    if kind in ("integer", "number"):
        return _number(kind, schema)
    if kind == "string":
        least = int(schema.get("minLength", 0))
        if least > MAX_VALUES:
            raise SchemaHasNoInstance
        return _FORMATS.get(str(schema.get("format")), "text" if least <= 4 else "x" * least)[: schema.get("maxLength")]
    return {"boolean": False, "null": None}.get(kind, {})


def _number(kind: str, schema: Mapping[str, Any]) -> int | float:
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    highest = schema.get("maximum", schema.get("exclusiveMaximum"))
    step = schema.get("multipleOf", 1)
    value: int | float = 0
    if lowest is not None and lowest >= 0:
        value = math.ceil(lowest / step) * step
        value += step if value == schema.get("exclusiveMinimum") else 0
    elif highest is not None and highest <= 0:
        value = math.floor(highest / step) * step
        value -= step if value == schema.get("exclusiveMaximum") else 0
    if kind == "number" and highest is not None and value > highest:
        return float(lowest + highest) / 2
    return int(value) if kind == "integer" else value
