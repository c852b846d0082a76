"""Adapter of OpenAI and of servers with its protocol: builds the requests and parses the answers."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from deployments.providers.base import served_name, thinks
from deployments.providers.errors import VendorResponse
from deployments.providers.timeouts import answered, finished, streamed
from deployments.providers.usage import from_openai
from routing.catalogue import Model
from routing.chat import Image, Message
from routing.errors import ProviderRefused, ProviderTruncated
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, Finish, ModelRequest

CHAT = "/chat/completions"
_JSON = dict[str, Any]
_FINISH: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_REASONING = ("gpt-6",)
"""Models that think unless told not to; OpenAI's model pages, read 2026-11-25."""


class OpenAITransport(Protocol):
    """A transport of JSON to a server and back. `reply` extracts the error response from the exceptions it raises."""

    async def post(self, path: str, body: _JSON, timeout_s: float) -> _JSON: ...

    def events(self, path: str, body: _JSON, timeout_s: float) -> AsyncGenerator[list[_JSON], None]:
        """Yield the events of a stream; those that arrived together are in one list."""

    def reply(self, error: Exception) -> VendorResponse | None:
        """Return the error response of a server, or None if the exception carries none."""

    def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class OpenAIProvider:
    """One transport with one connection pool for each replica."""

    def __init__(self, transport: OpenAITransport, output_limit_field: str = "max_completion_tokens") -> None:
        self._output_limit_field = output_limit_field
        self._transport = transport

    async def answer(self, model: Model, request: ModelRequest) -> Answer:
        return await answered(self._answer(model, request), request.timeout_s, self._transport.reply)

    def stream(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        return streamed(self._deltas(model, request), request, self._transport.reply)

    async def embed(self, model: Model, request: EmbedRequest) -> EmbeddingResult:
        if any(message.images for message in request.inputs):
            raise ProviderRefused(f"{model.name} embeds text only.", "input")
        return await answered(self._embed(model, request), request.timeout_s, self._transport.reply)

    def warm_up(self) -> None:
        self._transport.warm_up()

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _answer(self, model: Model, request: ModelRequest) -> Answer:
        completion = await self._transport.post(CHAT, self._request(model, request), request.timeout_s)
        choice = completion["choices"][0]
        message = choice["message"]
        refusal = message.get("refusal")
        return Answer(
            text=message.get("content") or refusal or "",
            model=served_name(model, False),
            finish=finished("refusal" if refusal else _finish(choice.get("finish_reason"))),
            usage=from_openai(completion.get("usage")),
        )

    async def _deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        body = self._request(model, request) | {"stream": True, "stream_options": {"include_usage": True}}
        refused = False
        async with aclosing(self._transport.events(CHAT, body, request.timeout_s)) as groups:
            async for chunks in groups:
                deltas = [_delta(chunk) for chunk in chunks]
                refused = refused or any(map(_refuses, chunks))
                finish = next((delta.finish for delta in deltas if delta.finish), None)
                usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
                yield Delta(
                    text="".join(delta.text for delta in deltas),
                    finish="refusal" if refused and finish else finish,
                    usage=from_openai(usage),
                )

    async def _embed(self, model: Model, request: EmbedRequest) -> EmbeddingResult:
        texts = [list(message.token_ids) or message.text for message in request.inputs]
        body: _JSON = {"model": model.vendor_name, "input": texts, "encoding_format": "float"}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        result = await self._transport.post("/embeddings", body, request.timeout_s)
        rows = sorted(result["data"], key=lambda row: int(row["index"]))
        if len(rows) != len(texts):
            raise ProviderTruncated(phase="parse")
        vectors = tuple(tuple(row["embedding"]) for row in rows)
        return EmbeddingResult(vectors=vectors, model=served_name(model, False), usage=from_openai(result.get("usage")))

    def _request(self, model: Model, request: ModelRequest) -> dict[str, Any]:
        return {
            "model": model.vendor_name,
            "messages": [{"role": message.role, "content": _content(message)} for message in request.messages],
            self._output_limit_field: request.max_output_tokens,
            **_sampling(model, request),
        }


def _sampling(model: Model, request: ModelRequest) -> dict[str, Any]:
    """Return the sampling parameters: a model that reasons takes no temperature."""
    reasons = model.vendor_name.startswith(_REASONING)
    options = request.options
    temperature = {} if options.temperature is None else {"temperature": options.temperature}
    if not reasons:
        return temperature
    return {} if thinks(request) else temperature | {"reasoning_effort": "none"}


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    return [_part(part) for part in message.content if part]


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    url = f"data:{part.media_type};base64," + base64.b64encode(part.data).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def _delta(chunk: dict[str, Any]) -> Delta:
    if not chunk["choices"]:
        return Delta()
    choice = chunk["choices"][0]
    said = choice["delta"]
    return Delta(text=said.get("content") or said.get("refusal") or "", finish=_finish(choice.get("finish_reason")))


def _refuses(chunk: dict[str, Any]) -> bool:
    return bool(chunk["choices"] and chunk["choices"][0]["delta"].get("refusal"))


def _finish(reason: str | None) -> Finish | None:
    return _FINISH.get(reason, "stop") if reason else None
