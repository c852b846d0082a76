"""Schemas of tools, tool calls and answer formats in a chat completion request."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from deployments.api.body import LenientBody, Text

MAX_TOOLS = 128
"""OpenAI's own limit."""
MAX_ID_CHARS = 65_536
"""An id may carry a thought signature of several kilobytes."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Schema = dict[str, Any]


class FunctionDefinition(LenientBody):
    name: Name
    description: Text | None = None
    parameters: Schema | None = None
    strict: bool | None = None


class ToolDefinition(LenientBody):
    """A function that the model may call."""

    harmless: ClassVar[frozenset[str]] = frozenset({"cache_control", "custom"})
    type: Literal["function"]
    function: FunctionDefinition


class CalledFunction(LenientBody):
    """The function of a call in the history; a model may have named one that nobody offered."""

    harmless: ClassVar[frozenset[str]] = frozenset({"parsed_arguments"})
    name: Annotated[str, Field(min_length=1, max_length=256)]
    arguments: Text


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
    strict: bool | None = None


class FormatOfAnswer(LenientBody):
    """OpenAI's `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaOfAnswer | None = None
