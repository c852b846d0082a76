"""Schemas of tools, tool calls and answer formats in a chat completion request."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StrictBool, WithJsonSchema

from deployments.api.body import LenientBody, ObjectText, Text
from deployments.api.field_rules import OBJECT, one_value, variant

MAX_TOOLS = 128
"""OpenAI's own limit."""
MAX_ID_CHARS = 65_536
"""An id may carry a thought signature of several kilobytes."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Schema = dict[str, Any]
Parameters = Annotated[Schema, WithJsonSchema(OBJECT | {"properties": {"type": one_value("object")}})]
"""The parameters of a function, which are the fields of an object."""


class FunctionDefinition(LenientBody):
    name: Name
    description: Text | None = None
    parameters: Parameters | None = None
    strict: StrictBool | None = None


class ToolDefinition(LenientBody):
    """A function that the model may call."""

    harmless: ClassVar[frozenset[str]] = frozenset({"cache_control", "custom"})
    type: Literal["function"]
    function: FunctionDefinition


class CalledFunction(LenientBody):
    """The function of a call in the history; a model may have named one that nobody offered."""

    harmless: ClassVar[frozenset[str]] = frozenset({"parsed_arguments"})
    name: Annotated[str, Field(min_length=1, max_length=256)]
    arguments: ObjectText


class CallInHistory(LenientBody):
    """A tool call of an assistant's message."""

    harmless: ClassVar[frozenset[str]] = frozenset(
        {"cache_control", "extra_content", "index", "provider_specific_fields"}
    )
    id: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)]
    type: Literal["function"] = "function"
    function: CalledFunction


class FunctionName(LenientBody):
    name: Name


class NamedTool(LenientBody):
    """The one tool that the model must call."""

    type: Literal["function"]
    function: FunctionName


class SchemaOfAnswer(LenientBody):
    """The JSON Schema of an answer."""

    name: Name
    description: Text | None = None
    definition: Annotated[Schema | None, Field(alias="schema")] = None
    strict: StrictBool | None = None


_FORMAT_RULES: dict[str, Any] = {
    "anyOf": [
        variant(type=one_value("text", "json_object")),
        variant(["json_schema"], type=one_value("json_schema"), json_schema=OBJECT),
    ]
}


class FormatOfAnswer(LenientBody):
    """OpenAI's `response_format`."""

    model_config = ConfigDict(json_schema_extra=_FORMAT_RULES)
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaOfAnswer | None = None
