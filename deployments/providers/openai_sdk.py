"""Transport to OpenAI through its SDK, which supplies address, credentials and error types."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import openai

from deployments.providers.errors import VendorResponse, retry_after_s
from deployments.providers.http_session import HOOKS, LIMITS
from deployments.providers.timeouts import CONNECT_TIMEOUT_S

_JSON = dict[str, Any]


class OpenAISdk:
    """One client. The router retries, so the SDK's own retries are off.

    Answers are parsed as plain JSON: the SDK's typed objects would double the CPU time of a call.
    """

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(limits=LIMITS, follow_redirects=False, event_hooks=HOOKS),
        )

    async def post(self, path: str, body: _JSON, timeout_s: float) -> _JSON:
        """Return a whole answer; raises the SDK's errors."""
        return await self._client.post(path, cast_to=_JSON, body=body, options={"timeout": _timeout(timeout_s)})

    async def events(self, path: str, body: _JSON, timeout_s: float) -> AsyncGenerator[list[_JSON], None]:
        """Yield the events of a stream, each in a list of its own; raises as `post` does."""
        chunks = await self._client.post(
            path,
            cast_to=_JSON,
            body=body,
            options={"timeout": _timeout(timeout_s)},
            stream=True,
            stream_cls=openai.AsyncStream[_JSON],
        )
        async with chunks:
            async for chunk in chunks:
                yield [chunk]

    async def read(self, path: str, body: _JSON, timeout_s: float, take: Callable[[list[_JSON]], None]) -> None:
        """Pass the events of a stream to `take`; raises as `post` does."""
        async with aclosing(self.events(path, body, timeout_s)) as groups:
            async for events in groups:
                take(events)

    def reply(self, error: Exception) -> VendorResponse | None:
        if isinstance(error, openai.APIStatusError):
            return VendorResponse(
                status=error.status_code,
                codes=(error.code, error.type),
                retry_after_s=retry_after_s(error.response.headers),
                message=_message(error),
                param=error.param,
            )
        if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
            # An error that came inside a stream, after HTTP 200.
            return VendorResponse(
                status=None, codes=(error.code, error.type), message=_message(error), param=error.param
            )
        return None

    def warm_up(self) -> None:
        # The SDK imports its resources on first use, which takes 0.3 s.
        _ = self._client.chat.completions, self._client.embeddings

    async def aclose(self) -> None:
        await self._client.close()


def _message(error: openai.APIError) -> Any:
    """Return the server's own sentence; the SDK's message is the whole body."""
    return error.body.get("message") if isinstance(error.body, dict) else None


def _timeout(total_s: float) -> openai.Timeout:
    return openai.Timeout(total_s, connect=CONNECT_TIMEOUT_S)
