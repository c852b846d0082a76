"""Adapter of Anthropic's models through the anthropic SDK."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent

from deployments.providers.base import served_name, system_text
from deployments.providers.errors import VendorResponse, retry_after_s
from deployments.providers.http_session import HOOKS, LIMITS
from deployments.providers.timeouts import CONNECT_TIMEOUT_S, answered, finished, streamed
from deployments.providers.usage import from_anthropic
from routing.catalogue import Model
from routing.chat import Image, Message
from routing.errors import ProviderRefused
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, Finish, ModelRequest, Usage

_FINISH: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
    "tool_use": "tool_calls",
}


class AnthropicProvider:
    """One client with one connection pool for each replica. The router retries, so the SDK's own retries are off."""

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        self._client = anthropic.AsyncAnthropic(
            # Without a key the SDK would search for one in profiles on disk.
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            http_client=anthropic.DefaultAioHttpClient(limits=LIMITS, follow_redirects=False, event_hooks=HOOKS),
        )

    async def answer(self, model: Model, request: ModelRequest) -> Answer:
        return await answered(self._answer(model, request), request.timeout_s, _reply)

    def stream(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        return streamed(self._deltas(model, request), request, _reply)

    async def embed(self, model: Model, request: EmbedRequest) -> EmbeddingResult:
        raise ProviderRefused(f"{model.name} makes no embeddings.", "model")

    def warm_up(self) -> None:
        # The SDK imports its resources at their first use.
        _ = self._client.messages

    async def aclose(self) -> None:
        await self._client.close()

    async def _answer(self, model: Model, request: ModelRequest) -> Answer:
        reply: AnthropicMessage = await self._client.messages.create(**_request(model, request))
        return Answer(
            text="".join(block.text for block in reply.content if block.type == "text"),
            model=served_name(model, False),
            finish=finished(_finish(reply.stop_reason)),
            usage=from_anthropic(reply.usage),
        )

    async def _deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        usage: Usage | None = None
        async with await self._client.messages.create(**_request(model, request), stream=True) as events:
            async for event in events:
                delta = _delta(event, usage)
                usage = delta.usage or usage
                yield delta


def _request(model: Model, request: ModelRequest) -> dict[str, Any]:
    """Return the arguments of the SDK's call. API version 2026-10-21 takes no temperature, so it is dropped."""
    body: dict[str, Any] = {
        "model": model.vendor_name,
        "max_tokens": request.max_output_tokens,
        "messages": [
            {"role": message.role, "content": _content(message)}
            for message in request.messages
            if message.role != "system"
        ],
        "timeout": anthropic.Timeout(request.timeout_s, connect=CONNECT_TIMEOUT_S),
    }
    system = system_text(request)
    return body | {"system": system} if system else body


def _content(message: Message) -> list[dict[str, Any]]:
    return [_block(part) for part in message.content if part]


def _block(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    data = base64.b64encode(part.data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": data}}


def _delta(event: RawMessageStreamEvent, earlier: Usage | None) -> Delta:
    if event.type == "message_start":
        return Delta(usage=from_anthropic(event.message.usage, earlier))
    if event.type == "content_block_delta" and event.delta.type == "text_delta":
        return Delta(text=event.delta.text)
    if event.type == "message_delta":
        return Delta(finish=_finish(event.delta.stop_reason), usage=from_anthropic(event.usage, earlier))
    return Delta()


def _finish(reason: str | None) -> Finish | None:
    return _FINISH.get(reason, "stop") if reason else None


def _reply(error: Exception) -> VendorResponse | None:
    # An error inside a stream has status 200; its kind is in `type`.
    if isinstance(error, anthropic.APIStatusError):
        return VendorResponse(
            status=error.status_code,
            codes=(error.error_code, error.type),
            retry_after_s=retry_after_s(error.response.headers),
            message=_message(error),
        )
    return None


def _message(error: anthropic.APIStatusError) -> Any:
    """Return the vendor's own sentence; the SDK's message is the whole body."""
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    return inner.get("message") if isinstance(inner, dict) else None
