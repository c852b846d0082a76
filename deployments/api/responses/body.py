"""Convert a Responses request to the chat completion request that means the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from deployments.api.body import bad_input, parse_body, parses_at_once
from deployments.api.chat.body import check_chat, schemas_of
from deployments.api.chat.schemas import ChatRequest
from deployments.api.json_schema import SchemaCheck
from deployments.api.responses.schemas import ChosenTool, InputItem, InputPart, ResponsesRequest
from routing.chat import EncryptedThought
from routing.errors import BadInput

_NAMES = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""Parameters of a chat completion, and their names in a Responses request."""
_STEPS = {"id": "call_id", "tool_call_id": "call_id"}


@dataclass(slots=True)
class _Turn:
    """A message in the making, with the places of its items in the input."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    place: int | None
    content: Any = None
    call_id: str | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    call_places: list[int] = field(default_factory=list)
    thoughts: list[EncryptedThought] = field(default_factory=list)

    def message(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "content": self.content,
            "tool_call_id": self.call_id,
            "tool_calls": self.calls or None,
        }


@dataclass(frozen=True, slots=True)
class ConvertedResponses:
    """A Responses request, and the chat completion request that means the same."""

    request: ResponsesRequest
    chat: ChatRequest = field(repr=False)
    turns: list[_Turn] = field(repr=False)

    @contextmanager
    def own_names(self) -> Iterator[None]:
        """Raise a BadInput about the chat with the name of the field in the Responses request."""
        try:
            yield
        except BadInput as error:
            raise renamed(error, self.request, self.turns) from None


async def read_responses(body: bytes, schemas: SchemaCheck) -> ConvertedResponses:
    """Return the request of a response; raises BadInput with the path of its first wrong field."""
    if parses_at_once(body):
        converted = parse_responses(body)
    else:
        converted = await asyncio.to_thread(parse_responses, body)
    with converted.own_names():
        await schemas.check(list(schemas_of(converted.chat)))
    return converted


def parse_responses(body: bytes) -> ConvertedResponses:
    """Return a request and its chat without a check of its schemas; raises BadInput."""
    request = parse_body(ResponsesRequest, body)
    turns = _turns(request)
    try:
        chat = ChatRequest.model_validate({"messages": [turn.message() for turn in turns]} | _options(request))
        for turn, message in zip(turns, chat.messages, strict=True):
            message.set_thoughts(turn.thoughts)
        check_chat(chat)
    except ValidationError as error:
        raise renamed(bad_input(error), request, turns) from None
    except BadInput as error:
        raise renamed(error, request, turns) from None
    return ConvertedResponses(request, chat, turns)


def renamed(error: BadInput, request: ResponsesRequest, turns: list[_Turn]) -> BadInput:
    """Return an error about a chat as one about the Responses request."""
    param = ".".join(_path(error.param.split("."), request, turns)) if error.param else None
    message = error.message.replace(f"{error.param}: ", f"{param}: ", 1)
    return type(error)(message, param, error.retry_after_s, **error.facts)


def _path(steps: list[str], request: ResponsesRequest, turns: list[_Turn]) -> list[str]:
    match steps:
        case ["messages", number, *rest]:
            return _input_path(turns[int(number)], rest, request)
        case ["tools", number, "function", *rest]:
            return ["tools", number, *rest]
        case ["tool_choice", "function", *rest]:
            return ["tool_choice", *rest]
        case ["response_format", "json_schema", *rest]:
            return ["text.format", *rest]
        case [name, *rest]:
            return [_NAMES.get(name, name), *rest]
        case _:
            return steps


def _input_path(turn: _Turn, steps: list[str], request: ResponsesRequest) -> list[str]:
    if turn.place is None:
        return ["instructions"]
    if isinstance(request.input, str):
        return ["input"]
    match steps:
        case ["tool_calls", number, *rest]:
            own = [_STEPS.get(step, step) for step in rest if step != "function"]
            return ["input", str(turn.call_places[int(number)]), *own]
        case ["content", *rest]:
            name = "output" if turn.role == "tool" else "content"
            return ["input", str(turn.place), name, *(rest[:2] if rest[1:2] == ["image_url"] else rest)]
        case ["tool_calls"]:
            return ["input", str(turn.call_places[0])]
        case rest:
            return ["input", str(turn.place), *(_STEPS.get(step, step) for step in rest)]


def _turns(request: ResponsesRequest) -> list[_Turn]:
    turns = [_Turn("system", None, request.instructions)] if request.instructions else []
    thoughts: list[EncryptedThought] = []
    for place, item in enumerate(request.items):
        where = f"input.{place}"
        if item.type == "reasoning":
            thoughts += _thoughts(item)
            continue
        if item.type == "function_call":
            _add_call(turns, item, place)
        elif item.type == "function_call_output":
            content = _content(_required(item.output, f"{where}.output"), f"{where}.output")
            turns.append(_Turn("tool", place, content, _required(item.call_id, f"{where}.call_id")))
        elif item.type == "item_reference":
            raise BadInput(f"{where}: refers to a stored item, and none is stored; send store: false.", where)
        elif item.type == "message":
            role = _required(item.role, f"{where}.role")
            turns.append(_Turn(role, place, _content(item.content, f"{where}.content")))
        if turns[-1].role == "assistant" and turns[-1].place == place:
            turns[-1].thoughts = thoughts
        # OpenAI takes a thought only before the item to which it led.
        thoughts = []
    if not any(turn.place is not None for turn in turns):
        raise BadInput("input: holds no message.", "input")
    return turns


def _thoughts(item: InputItem) -> list[EncryptedThought]:
    if item.encrypted_content is None:
        return []
    return [EncryptedThought(encrypted=item.encrypted_content, summary=tuple(one.text for one in item.summary or ()))]


def _add_call(turns: list[_Turn], item: InputItem, place: int) -> None:
    """Add a call to the assistant's message before it, as all calls of one answer are in one message."""
    if not turns or turns[-1].role != "assistant":
        turns.append(_Turn("assistant", place))
    fields = {name: _required(getattr(item, name), f"input.{place}.{name}") for name in ("name", "arguments")}
    turns[-1].calls.append({"id": _required(item.call_id, f"input.{place}.call_id"), "function": fields})
    turns[-1].call_places.append(place)


def _content(content: str | list[InputPart] | None, where: str) -> Any:
    if not isinstance(content, list):
        return content
    return [_part(part, f"{where}.{number}") for number, part in enumerate(content)]


def _part(part: InputPart, where: str) -> dict[str, Any]:
    if part.type == "input_image":
        url = _required(part.image_url, f"{where}.image_url")
        return {"type": "image_url", "image_url": {"url": url, "detail": part.detail}}
    if part.type == "refusal":
        return {"type": "refusal", "refusal": _required(part.refusal, f"{where}.refusal")}
    return {"type": "text", "text": _required(part.text, f"{where}.text")}


def _required(value: Any, where: str) -> Any:
    if value is None:
        raise BadInput(f"{where}: is missing.", where)
    return value


def _options(request: ResponsesRequest) -> dict[str, Any]:
    """Return the parameters of the chat that are not its messages."""
    choice = request.tool_choice
    if isinstance(choice, ChosenTool):
        choice = {"type": "function", "function": {"name": choice.name}}  # type: ignore[assignment]
    text, reasoning = request.text, request.reasoning
    return {
        "model": request.model,
        "stream": request.stream,
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "logprobs": True if request.top_logprobs else None,
        "top_logprobs": request.top_logprobs or None,
        "tools": [_tool(tool.model_dump(exclude={"type", "defer_loading"})) for tool in request.tools or ()] or None,
        "tool_choice": choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "response_format": _format(text.format.model_dump(by_alias=True)) if text and text.format else None,
        "verbosity": text.verbosity if text else None,
        "reasoning_effort": reasoning.effort if reasoning else None,
        "service_tier": request.service_tier,
        "drop_params": request.drop_params,
        "user": request.user,
        "safety_identifier": request.safety_identifier,
    }


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": function}


def _format(wanted: dict[str, Any]) -> dict[str, Any]:
    kind = wanted.pop("type")
    return {"type": kind, "json_schema": wanted} if kind == "json_schema" else {"type": kind}
