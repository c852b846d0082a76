"""Read the body of a chat completion request: its fields, its history and the schemas of its tools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from deployments.api.body import parse_body, parses_at_once
from deployments.api.chat.history import check_history
from deployments.api.chat.schemas import ChatRequest
from deployments.api.chat.tool_schemas import NamedTool
from deployments.api.json_schema import NamedSchema, SchemaCheck
from routing.errors import BadInput


async def read_chat(body: bytes, schemas: SchemaCheck) -> ChatRequest:
    """Return the request of a chat; raises BadInput with the path of its first wrong field."""
    if parses_at_once(body):
        request = parse_chat(body)
    else:
        request = await asyncio.to_thread(parse_chat, body)
    await schemas.check(list(schemas_of(request)))
    return request


def parse_chat(body: bytes) -> ChatRequest:
    """Return the request of a chat without a check of its schemas; raises BadInput."""
    request = parse_body(ChatRequest, body)
    check_chat(request)
    return request


def check_chat(request: ChatRequest) -> None:
    """Check the fields of a request against each other; raises BadInput."""
    check_history(request.messages)
    names = set[str]()
    for index, tool in enumerate(request.tools or ()):
        if (tool.function.parameters or {}).get("type", "object") != "object":
            raise _bad(f"tools.{index}.function.parameters.type", "must be object")
        if tool.function.name in names:
            raise _bad(f"tools.{index}.function.name", "is the name of another tool of this request")
        names.add(tool.function.name)
    choice = request.tool_choice
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise _bad("tool_choice.function.name", "is the name of no tool of this request")
    if choice == "required" and not names:
        raise _bad("tool_choice", "is required, but the request has no tools")
    if request.top_logprobs and not request.logprobs:
        raise _bad("top_logprobs", "needs logprobs: true")
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_schema" and wanted.json_schema is None:
        raise _bad("response_format.json_schema", "is missing")


def schemas_of(request: ChatRequest) -> Iterator[NamedSchema]:
    """Yield the schemas of the tools and of the answer, with the paths of their fields."""
    for index, tool in enumerate(request.tools or ()):
        if tool.function.parameters is not None:
            yield NamedSchema(path=f"tools.{index}.function.parameters", schema=tool.function.parameters)
    described = request.response_format and request.response_format.json_schema
    if described and described.definition is not None:
        yield NamedSchema(path="response_format.json_schema.schema", schema=described.definition)


def _bad(param: str, problem: str) -> BadInput:
    return BadInput(f"{param}: {problem}.", param)
