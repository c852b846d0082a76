"""OpenAI's Responses API, for chats that chat completions refuse: tools while the model thinks, and the effort `max`.

OpenAI's deployment checklist and its page on GPT-6 Luna, read 2026-11-30: chat completions take function tools at the
effort `none` only, which GPT-6.1 Sol does not have. Litellm-docs PR 1173: they take no `max`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from deployments.providers.base import served_name
from deployments.providers.call_ids import accepted_call_id
from deployments.providers.errors import VendorResponse, from_reply
from deployments.providers.openai_chat import data_url, format_fields, function_fields, output_limit
from deployments.providers.timeouts import finished
from deployments.providers.usage import from_openai_responses
from routing.catalogue import Model
from routing.chat import ChatOptions, Image, Message, ToolCall, ToolCallDelta
from routing.errors import ProviderRefused
from routing.models import Answer, Delta, Finish, ModelRequest

Json = dict[str, Any]
PATH: Final = "/responses"
LONGEST_CALL_ID: Final = 64
LEAST_OUTPUT_TOKENS: Final = 16
_ABSENT: Final = ("stop", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs")
"""Options that the API does not have."""
_PLAIN: Final = ("temperature", "top_p", "parallel_tool_calls", "service_tier")
_INCOMPLETE: dict[str, Finish] = {"max_output_tokens": "length", "content_filter": "refusal"}


def needs_responses(request: ModelRequest) -> bool:
    """Return whether chat completions would refuse the request for its effort."""
    thinks = request.effort not in (None, "none")
    return request.effort == "max" or (thinks and bool(request.options.tools))


def response_body(model: Model, request: ModelRequest) -> Json:
    """Return the body of a request, which OpenAI does not store.

    Thoughts of earlier turns are not sent back: after the result of a tool the model thinks afresh, as in chat
    completions. Raises ProviderRefused for an option that the API does not have.
    """
    options = request.options
    for name in options.given:
        # A penalty of 0 and `logprobs: false` ask for nothing.
        if name in _ABSENT and (name == "seed" or getattr(options, name)):
            raise ProviderRefused(f"{model.name} takes no {name} together with tools at this effort.", name)
    body: Json = {
        "model": model.vendor_name,
        "input": [item for message in request.messages for item in _items(message)],
        "max_output_tokens": max(output_limit(model, request), LEAST_OUTPUT_TOKENS),
        "reasoning": {"effort": request.effort},
        "store": False,
    }
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
    """Yield the input items of one message: its content, then its calls, or the result of a tool."""
    if message.role == "tool":
        output = _parts(message) if message.images else message.text
        call_id = accepted_call_id(message.tool_call_id or "", LONGEST_CALL_ID)
        yield {"type": "function_call_output", "call_id": call_id, "output": output}
        return
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


def answer_of(model: Model, response: Json) -> Answer:
    """Return the answer in a response. Raises ProviderTruncated if it is unfinished, ProviderError if it failed."""
    _check(response)
    calls = tuple(
        ToolCall(call_id=item["call_id"], name=item["name"], arguments=item.get("arguments") or "")
        for item in response["output"]
        if item.get("type") == "function_call"
    )
    parts = [part for item in response["output"] if item.get("type") == "message" for part in item.get("content") or ()]
    refused = any(part.get("type") == "refusal" for part in parts)
    return Answer(
        text="".join(part.get("text") or part.get("refusal") or "" for part in parts),
        model=served_name(model, False),
        finish=finished(_finish(response, refused, bool(calls))),
        usage=from_openai_responses(response.get("usage")),
        tool_calls=calls,
        service_tier=response.get("service_tier"),
    )


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
