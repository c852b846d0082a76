"""Format answers as clients of OpenAI's Responses API parse them, whole or as typed server-sent events."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from deployments.api.call_ids import join_call_id
from deployments.api.responses.schemas import ResponsesRequest
from deployments.gateway.models import RoutedAnswer
from deployments.gateway.openai_format import routing_facts, served_tier
from routing.chat import ToolCall, ToolCallDelta
from routing.errors import RayroomError
from routing.models import Answer, Delta, Usage

_JSON = dict[str, Any]
_STOPPED_BY = {"length": "max_output_tokens", "refusal": "content_filter"}


def response_body(request: ResponsesRequest, routed: RoutedAnswer) -> _JSON:
    """Return the body of a whole response."""
    answer = routed.answer
    output = [_message(_new_id("msg"), answer)] if answer.text or not answer.tool_calls else []
    output += [_call(_new_id("fc"), call) for call in answer.tool_calls]
    # The model's own refusal is a complete response, in a part of its own.
    reason = None if answer.finish == "refusal" and answer.text else _STOPPED_BY.get(answer.finish)
    return _opened(request, answer.model) | _ended(routed, output, reason)


class ResponseEvents:
    """Writes the events of one streamed response: each output item is added, grows by deltas, and is done."""

    def __init__(self, request: ResponsesRequest) -> None:
        self._request = request
        self._response: _JSON = {}
        self._sequence = 0
        self._output: list[_JSON] = []
        self._open: _OpenItem | None = None
        self._calls: dict[int, _OpenItem] = {}

    async def events(
        self, first: Delta | RoutedAnswer, rest: AsyncGenerator[Delta | RoutedAnswer, None]
    ) -> AsyncIterator[bytes]:
        """Yield the events; an error after the first one is an event too."""
        async with aclosing(rest):
            try:
                yield self._begun(first.model if isinstance(first, Delta) else first.answer.model)
                yield b"".join(self._piece(first))
                async for piece in rest:
                    yield b"".join(self._piece(piece))
            except RayroomError as error:
                yield self.failed(error)

    def failed(self, error: RayroomError) -> bytes:
        """Return the events that end a response with an error."""
        begun = b"" if self._response else self._begun(self._request.model)
        failure = {"code": "server_error", "message": error.message}
        response = self._response | {"status": "failed", "error": failure, "rayroom": error.envelope()["error"]}
        return begun + self._event("response.failed", response=response)

    def _begun(self, model: str) -> bytes:
        self._response = _opened(self._request, model)
        created = self._event("response.created", response=self._response)
        return created + self._event("response.in_progress", response=self._response)

    def _piece(self, piece: Delta | RoutedAnswer) -> Iterator[bytes]:
        if isinstance(piece, RoutedAnswer):
            yield from self._ending(piece)
            return
        if piece.text:
            yield from self._text(piece)
        for call in piece.tool_calls:
            yield from self._arguments(call)

    def _text(self, piece: Delta) -> Iterator[bytes]:
        if self._open is None or self._open.call is not None:
            yield from self._close()
            self._open = _OpenItem(_new_id("msg"), len(self._output))
            self._output.append(_text_item(self._open.item_id, "in_progress", []))
            yield self._event("response.output_item.added", output_index=self._open.place, item=self._output[-1])
            yield self._event("response.content_part.added", **self._open.part, part=_text_part("", []))
        logprobs = _logprobs(piece.logprobs)
        self._open.grow(piece.text, logprobs)
        yield self._event("response.output_text.delta", **self._open.part, delta=piece.text, logprobs=logprobs)

    def _arguments(self, piece: ToolCallDelta) -> Iterator[bytes]:
        item = self._calls.get(piece.index)
        if item is None:
            if self._open is not None and self._open.call is None:
                yield from self._close()
            item = self._calls[piece.index] = _OpenItem(_new_id("fc"), len(self._output), piece)
            self._output.append(_call_item(item, "in_progress"))
            yield self._event("response.output_item.added", output_index=item.place, item=self._output[-1])
        self._open = item
        if piece.arguments:
            item.grow(piece.arguments, [])
            yield self._event(
                "response.function_call_arguments.delta",
                item_id=item.item_id,
                output_index=item.place,
                delta=piece.arguments,
            )

    def _close(self, status: str = "completed") -> Iterator[bytes]:
        """Yield the events that end the open text; calls end together, as their pieces may alternate."""
        item, self._open = self._open, None
        if item is None or item.call is not None:
            return
        part = _text_part(item.text, item.logprobs)
        yield self._event("response.output_text.done", **item.part, text=item.text, logprobs=item.logprobs)
        yield self._event("response.content_part.done", **item.part, part=part)
        yield self._done(item, _text_item(item.item_id, status, [part]))

    def _close_calls(self) -> Iterator[bytes]:
        for item in self._calls.values():
            done = _call_item(item, "completed")
            yield self._event(
                "response.function_call_arguments.done",
                item_id=item.item_id,
                output_index=item.place,
                name=done["name"],
                arguments=item.text,
            )
            yield self._done(item, done)

    def _done(self, item: _OpenItem, done: _JSON) -> bytes:
        self._output[item.place] = done
        return self._event("response.output_item.done", output_index=item.place, item=done)

    def _ending(self, routed: RoutedAnswer) -> Iterator[bytes]:
        if not self._output:
            # An empty answer is a message without text.
            yield from self._text(Delta(text=""))
        yield from self._close("incomplete" if routed.answer.finish == "length" else "completed")
        yield from self._close_calls()
        response = self._response | _ended(routed, self._output, _STOPPED_BY.get(routed.answer.finish))
        yield self._event(f"response.{response['status']}", response=response)

    def _event(self, kind: str, **fields: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._sequence} | fields
        self._sequence += 1
        return f"event: {kind}\ndata: ".encode() + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


class _OpenItem:
    """An output item whose text or arguments are still arriving."""

    def __init__(self, item_id: str, place: int, call: ToolCallDelta | None = None) -> None:
        self.item_id = item_id
        self.place = place
        self.call = call
        self.part = {"item_id": item_id, "output_index": place, "content_index": 0}
        self.logprobs: list[Any] = []
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def grow(self, text: str, logprobs: list[Any]) -> None:
        self._texts.append(text)
        self.logprobs += logprobs


def _opened(request: ResponsesRequest, model: str) -> _JSON:
    """Return a response that has just begun; it repeats the request's settings, as OpenAI's does."""
    text = request.text.model_dump(by_alias=True, exclude_none=True) if request.text else {}
    return {
        "id": _new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": request.reasoning.effort if request.reasoning else None, "summary": None},
        "store": False,
        "temperature": request.temperature,
        "text": {"format": {"type": "text"}} | text,
        "tool_choice": _choice(request),
        "tools": [tool.model_dump(exclude={"defer_loading"}) for tool in request.tools or ()],
        "top_p": request.top_p,
        "truncation": "disabled",
        "usage": None,
    }


def _choice(request: ResponsesRequest) -> Any:
    choice = request.tool_choice or "auto"
    return choice if isinstance(choice, str) else choice.model_dump()


def _ended(routed: RoutedAnswer, output: list[_JSON], reason: str | None) -> _JSON:
    answer = routed.answer
    ended: _JSON = {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": _usage(answer.usage),
        "rayroom": routing_facts(routed),
    }
    return ended | served_tier(answer)


def _message(item_id: str, answer: Answer) -> _JSON:
    refused = answer.finish == "refusal" and answer.text
    part = (
        {"type": "refusal", "refusal": answer.text} if refused else _text_part(answer.text, _logprobs(answer.logprobs))
    )
    return _text_item(item_id, "incomplete" if answer.finish == "length" else "completed", [part])


def _text_item(item_id: str, status: str, content: list[_JSON]) -> _JSON:
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def _text_part(text: str, logprobs: list[Any]) -> _JSON:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _call(item_id: str, call: ToolCall) -> _JSON:
    call_id = join_call_id(call.call_id, call.signature)
    fields = {"id": item_id, "type": "function_call", "status": "completed"}
    return fields | {"call_id": call_id, "name": call.name, "arguments": call.arguments}


def _call_item(item: _OpenItem, status: str) -> _JSON:
    assert item.call is not None, "an item with pieces of arguments is a call"
    call_id = join_call_id(item.call.call_id or item.item_id, item.call.signature)
    fields = {"id": item.item_id, "type": "function_call", "status": status}
    return fields | {"call_id": call_id, "name": item.call.name or "", "arguments": item.text}


def _logprobs(logprobs: Any) -> list[Any]:
    return list((logprobs or {}).get("content") or ())


def _usage(usage: Usage | None) -> _JSON | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
