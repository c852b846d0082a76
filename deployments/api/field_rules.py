"""JSON Schema for rules between the fields of an object, which pydantic checks in code and does not describe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

JsonSchema = dict[str, Any]

INLINE_IMAGE: JsonSchema = {"format": "inline-image"}
"""The format of a data URL that holds a JPEG, PNG, WebP or still GIF. JSON Schema names no such format."""
JSON_OBJECT: JsonSchema = {"format": "json-object"}
"""The format of a text that is a JSON object; an empty text stands for an object without fields in arguments."""
NULL: JsonSchema = {"type": "null"}
TEXT: JsonSchema = {"type": "string"}
OBJECT: JsonSchema = {"type": "object"}
CLOSED: JsonSchema = {"additionalProperties": False}
"""Of a map whose keys have a pattern: pydantic describes the values of such keys alone."""
FILLED_LIST: JsonSchema = {"type": "array", "minItems": 1}
NO_LIST: JsonSchema = {"type": ["array", "null"], "maxItems": 0}


def variant(required: Iterable[str] = (), **properties: JsonSchema) -> JsonSchema:
    """Return the schema of an object with these fields, of which some are required."""
    return {"properties": properties, "required": list(required)}


def if_given(required: Iterable[str], then: JsonSchema, **condition: JsonSchema) -> JsonSchema:
    """Return the schema of a rule that holds where the `required` fields are there and fit `condition`."""
    return {"if": variant(required, **condition), "then": then}


def one_value(*values: Any) -> JsonSchema:
    """Return the schema of a field that has one of these values."""
    return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}


def content_of(*part_types: str) -> JsonSchema:
    """Return the schema of a content: a text, or a list of parts of these types."""
    return {"type": ["string", "array"], "items": {"properties": {"type": one_value(*part_types)}}}
