"""Adapter of Anthropic's models through the anthropic SDK."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any, Final

import anthropic

from deployments.providers.anthropic.answers import MessageEventReader
from deployments.providers.anthropic.messages import message_body
from deployments.providers.base import StreamingProvider
from deployments.providers.errors import VendorResponse, retry_after_s
from deployments.providers.http_session import HOOKS, LIMITS
from deployments.providers.timeouts import CONNECT_TIMEOUT_S, streamed
from deployments.providers.vendor_call import VendorCall
from routing.catalogue import Model
from routing.errors import ProviderRefused
from routing.models import Delta, EmbeddingResult, EmbedRequest, ModelRequest

_JSON = dict[str, Any]
PATH: Final = "/v1/messages"
_FIELD = re.compile(r"([a-z_]+(?:\.\w+)*): ", re.ASCII)
"""The field at the beginning of a refusal, such as `tools.0.custom.name: ...`."""


class AnthropicProvider(StreamingProvider):
    """One client with one connection pool for each replica. The router retries, so the SDK's own retries are off.

    Answers are parsed as plain JSON: the SDK's typed objects would double the CPU time of a call.
    """

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        self._client = anthropic.AsyncAnthropic(
            # Without a key the SDK would search for one in profiles on disk.
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            http_client=anthropic.DefaultAioHttpClient(limits=LIMITS, follow_redirects=False, event_hooks=HOOKS),
        )

    def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        return streamed(self._deltas(model, request), request, _reply, call)

    async def embed(self, model: Model, request: EmbedRequest, call: VendorCall | None = None) -> EmbeddingResult:
        raise ProviderRefused(f"{model.name} makes no embeddings.", "model")

    def warm_up(self) -> None:
        # The SDK imports its resources at their first use.
        _ = self._client.messages

    async def aclose(self) -> None:
        await self._client.close()

    async def _deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        events = await self._client.post(
            PATH,
            cast_to=_JSON,
            body=message_body(model, request) | {"stream": True},
            options={"timeout": _timeout(request.timeout_s)},
            stream=True,
            stream_cls=anthropic.AsyncStream[_JSON],
        )
        reader = MessageEventReader(model, request)
        async with events:
            async for event in events:
                delta = reader.read(event)
                if delta is not None:
                    yield delta


def _timeout(total_s: float) -> anthropic.Timeout:
    return anthropic.Timeout(total_s, connect=CONNECT_TIMEOUT_S)


def _reply(error: Exception) -> VendorResponse | None:
    # An error inside a stream has status 200; its kind is in `type`.
    if isinstance(error, anthropic.APIStatusError):
        message = _message(error)
        return VendorResponse(
            status=error.status_code,
            codes=(error.error_code, error.type),
            retry_after_s=retry_after_s(error.response.headers),
            message=message,
            param=_field(message),
        )
    return None


def _message(error: anthropic.APIStatusError) -> Any:
    """Return the vendor's own sentence; the SDK's message is the whole body."""
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    return inner.get("message") if isinstance(inner, dict) else None


def _field(message: Any) -> str | None:
    found = _FIELD.match(message) if isinstance(message, str) else None
    return found[1] if found is not None else None
