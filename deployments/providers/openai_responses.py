"""OpenAI's Responses API, for the chats that chat completions refuse: a request's body, and the events of its answer.

`routing.capabilities.needs_responses` decides which these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from deployments.providers.base import output_limit
from deployments.providers.call_ids import accepted_call_id
from deployments.providers.errors import VendorResponse, from_reply
from deployments.providers.openai_chat import data_url, format_fields, function_fields
from deployments.providers.usage import from_openai_responses
from routing.capabilities import chat_only_options
from routing.catalogue import Model
from routing.chat import ChatOptions, Image, Message, ToolCallDelta
from routing.errors import ProviderRefused
from routing.models import Delta, Finish, ModelRequest

Json = dict[str, Any]
PATH: Final = "/responses"
LONGEST_CALL_ID: Final = 64
LEAST_OUTPUT_TOKENS: Final = 16
_PLAIN: Final = ("temperature", "top_p", "parallel_tool_calls", "service_tier")
_INCOMPLETE: dict[str, Finish] = {"max_output_tokens": "length", "content_filter": "refusal"}


def response_body(model: Model, request: ModelRequest) -> Json:
    """Return the body of a request, which OpenAI does not store.

    Of the thoughts of earlier turns only those that the caller sent back encrypted are in it: OpenAI does not take
    others without storing them. Raises ProviderRefused for an option that this API does not have; most were refused
    or removed before (routing/capabilities).
    """
    options = request.options
    if refused := chat_only_options(options):
        reason = f"{refused[0]} is not possible together with an image in the result of a tool."
        raise ProviderRefused(param=refused[0], reason=reason, vendor_param=refused[0])
    body: Json = {
        "model": model.vendor_name,
        "input": [item for message in request.messages for item in _items(message)],
        "max_output_tokens": max(output_limit(model, request), LEAST_OUTPUT_TOKENS),
        "store": False,
    }
    if request.effort is not None:
        body["reasoning"] = {"effort": request.effort}
    body |= {name: value for name in _PLAIN if (value := getattr(options, name)) is not None}
    text = _text(options)
    return body | _tools(options) | ({"text": text} if text else {})


def _tools(options: ChatOptions) -> Json:
    if not options.tools:
        return {}
    # The API makes a function strict where nothing is said, and refuses one without parameters.
    defaults: Json = {"parameters": {"type": "object", "properties": {}}, "strict": False}
    tools: Json = {"tools": [{"type": "function"} | defaults | function_fields(tool) for tool in options.tools]}
    choice = options.tool_choice
    if choice is not None:
        tools["tool_choice"] = choice.mode if choice.mode != "function" else {"type": "function", "name": choice.name}
    return tools


def _text(options: ChatOptions) -> Json:
    text: Json = {} if options.verbosity is None else {"verbosity": options.verbosity}
    requested = options.response_format
    if requested is not None:
        schema = format_fields(requested) if requested.type == "json_schema" else {}
        text["format"] = {"type": requested.type} | schema
    return text


def _items(message: Message) -> Iterator[Json]:
    """Yield the input items of one message: its thoughts, its content and its calls, or the result of a tool."""
    if message.role == "tool":
        output = _parts(message) if message.images else message.text
        call_id = accepted_call_id(message.tool_call_id or "", LONGEST_CALL_ID)
        yield {"type": "function_call_output", "call_id": call_id, "output": output}
        return
    for thought in message.thoughts:
        summary = [{"type": "summary_text", "text": text} for text in thought.summary]
        yield {"type": "reasoning", "summary": summary, "encrypted_content": thought.encrypted}
    if message.content or not message.tool_calls:
        yield {"role": message.role, "content": _parts(message) if message.images else message.text}
    for call in message.tool_calls:
        call_id = accepted_call_id(call.call_id, LONGEST_CALL_ID)
        yield {"type": "function_call", "call_id": call_id, "name": call.name, "arguments": call.arguments}


def _parts(message: Message) -> list[Json]:
    return [_part(part) for part in message.content if part]


def _part(part: str | Image) -> Json:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    return {"type": "input_image", "image_url": data_url(part), "detail": part.detail}


def _finish(response: Json, refused: bool, called: bool) -> Finish | None:
    if response.get("status") == "incomplete":
        return _INCOMPLETE.get(str((response.get("incomplete_details") or {}).get("reason")), "length")
    if response.get("status") != "completed":
        return None
    return "refusal" if refused else "tool_calls" if called else "stop"


def _check(response: Json) -> None:
    if response.get("error"):
        raise _failure(response["error"])


def _failure(error: Json) -> Exception:
    codes = (error.get("code"), error.get("type") if error.get("type") != "error" else None)
    reply = VendorResponse(status=None, codes=codes, message=error.get("message"), param=error.get("param"))
    return from_reply(reply, "stream")


class EventReader:
    """Reads the events of one stream."""

    def __init__(self) -> None:
        self._refused = False
        self._indexes: dict[int, int] = {}

    def read(self, events: Iterable[Json]) -> Iterator[Delta]:
        """Yield a delta for each event with a part of the answer; raises ProviderError for an error event."""
        for event in events:
            delta = self._delta(event)
            if delta is not None:
                yield delta

    def _delta(self, event: Json) -> Delta | None:
        kind = event.get("type")
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self._refused = self._refused or kind == "response.refusal.delta"
            return Delta(text=event["delta"])
        if kind == "response.output_item.added" and event["item"].get("type") == "function_call":
            return Delta(tool_calls=(self._begun(event["output_index"], event["item"]),))
        if kind == "response.function_call_arguments.delta":
            index = self._indexes[event["output_index"]]
            return Delta(tool_calls=(ToolCallDelta(index=index, arguments=event["delta"]),))
        if kind in ("response.created", "response.in_progress"):
            usage = from_openai_responses(event["response"].get("usage"))
            return Delta(usage_so_far=usage) if usage is not None else None
        if kind == "response.reasoning_text.delta":
            return Delta(thinking_bytes=len(event["delta"].encode("utf-8", "replace")))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return self._ended(event["response"])
        if kind == "error":
            raise _failure(event.get("error") or event)
        return None

    def _begun(self, place: int, item: Json) -> ToolCallDelta:
        index = self._indexes.setdefault(place, len(self._indexes))
        return ToolCallDelta(
            index=index, call_id=item["call_id"], name=item["name"], arguments=item.get("arguments") or ""
        )

    def _ended(self, response: Json) -> Delta:
        _check(response)
        return Delta(
            finish=_finish(response, self._refused, bool(self._indexes)),
            usage=from_openai_responses(response.get("usage")),
            service_tier=response.get("service_tier"),
        )
