"""Streams an answer from the router's chat completions through LiveKit's OpenAI plugin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import openai
from livekit.agents import APIConnectOptions, APIError, APIStatusError, llm
from livekit.plugins import openai as livekit_openai

from room_agent.conversation.notices import Trouble
from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterError
from room_agent.core.router_transport import KEPT_S, tls
from routing.errors import RayroomError
from routing.models import Tier
from routing.telemetry.current_request import request_headers
from routing.telemetry.tracing import trace_headers

AUTO = "auto"
MAX_OUTPUT_TOKENS = 300
"""A minute and a half of speech. The router's own default is for clients that show texts."""
FIRST_TOKEN_TIMEOUT_S = 12.0
"""Longer than the router's own deadline for the first token, which includes its retries and fallbacks."""
NEXT_TOKEN_TIMEOUT_S = 10.0
RETRY_AFTER_S = 0.3
MAX_CHARS = 8_000
"""The longest answer: three minutes of speech have half as many."""
_RETRIED_STATUSES = frozenset({401, 408, 500, 502, 503, 504})


class NoAnswer(RayroomError):
    """The router gave no answer; `trouble` is the notice for the room, `http_status` is None where no reply came."""

    def __init__(self, trouble: Trouble, status: int | None) -> None:
        super().__init__(f"The router gave no answer: {f'HTTP {status}' if status else 'it was not reached in time'}.")
        self.trouble = trouble
        self.http_status = status


class RouterLlm:
    """One room's client of the router's chat completions. Each request carries the room's current token."""

    def __init__(self, router: RouterClient, url: str, tier: str = AUTO) -> None:
        """`tier` is `auto`, or the one whose models answer."""
        self._router = router
        self._client = openai.AsyncClient(
            base_url=f"{url.rstrip('/')}/v1",
            api_key=self._token,
            # This class retries itself: the SDK would repeat an expired token.
            max_retries=0,
            timeout=FIRST_TOKEN_TIMEOUT_S,
            http_client=openai.DefaultAsyncHttpxClient(verify=tls(), limits=httpx2.Limits(keepalive_expiry=KEPT_S)),
        )
        self._llm, self._simple_llm = (
            livekit_openai.LLM(model=model, client=self._client, max_retries=0, max_completion_tokens=MAX_OUTPUT_TOKENS)
            for model in (tier, Tier.SIMPLE.value)
        )

    async def aclose(self) -> None:
        async with asyncio.timeout(NEXT_TOKEN_TIMEOUT_S):
            await self._llm.aclose()
            await self._simple_llm.aclose()
            await self._client.close()

    async def answer(
        self,
        messages: Sequence[dict[str, Any]],
        failed_before: bool = False,
        participant: str = "",
        simple: bool = False,
    ) -> AsyncIterator[str]:
        """Yield the answer in pieces as they arrive, with at most one retry before the first. Raises NoAnswer.

        Closing the iterator cancels the request. `failed_before` makes the router prefer a stronger model, `simple` has
        a cheap one answer in any case, and the bill names the participant.
        """
        context = _context(messages)
        for is_retry in (False, True):
            begun = False
            try:
                async for words in self._stream(context, failed_before and not simple, participant, simple):
                    begun = True
                    yield words
                return
            except (APIError, TimeoutError, OSError) as error:
                status = error.status_code if isinstance(error, APIStatusError) else None
                # After the first piece a retry would repeat words that the room has heard.
                if begun or is_retry or not (status is None or status in _RETRIED_STATUSES):
                    raise NoAnswer(Trouble.BUDGET if status == 402 else Trouble.THINKING, status) from None
            await self._before_retry(status)

    async def _stream(
        self, context: llm.ChatContext, failed_before: bool, participant: str, simple: bool
    ) -> AsyncIterator[str]:
        options = APIConnectOptions(max_retry=0, timeout=FIRST_TOKEN_TIMEOUT_S)
        timeout_s, characters = FIRST_TOKEN_TIMEOUT_S, 0
        extra: dict[str, Any] = {"metadata": {"last_answer": "failed"}} if failed_before else {}
        if participant:
            extra["user"] = participant
        if headers := {**trace_headers(), **request_headers()}:
            extra["extra_headers"] = headers
        model = self._simple_llm if simple else self._llm
        async with model.chat(chat_ctx=context, conn_options=options, extra_kwargs=extra) as stream:
            while characters < MAX_CHARS:
                try:
                    async with asyncio.timeout(timeout_s):
                        chunk = await anext(stream)
                except StopAsyncIteration:
                    return
                if chunk.delta is not None and chunk.delta.content:
                    timeout_s, characters = NEXT_TOKEN_TIMEOUT_S, characters + len(chunk.delta.content)
                    yield chunk.delta.content

    async def _before_retry(self, status: int | None) -> None:
        if status != 401:
            await asyncio.sleep(RETRY_AFTER_S)
            return
        # The token has expired: opening the room again renews it.
        try:
            await self._router.open()
        except RouterError:
            raise NoAnswer(Trouble.THINKING, status) from None

    async def _token(self) -> str:
        return self._router.token


def _context(messages: Sequence[dict[str, Any]]) -> llm.ChatContext:
    """Convert messages of a chat completion to LiveKit's type."""
    context = llm.ChatContext.empty()
    for message in messages:
        content = message["content"]
        parts: list[Any] = [content] if isinstance(content, str) else [_part(part) for part in content]
        context.add_message(role=message["role"], content=parts)
    return context


def _part(part: dict[str, Any]) -> str | llm.ImageContent:
    if part["type"] == "text":
        return str(part["text"])
    return llm.ImageContent(image=part["image_url"]["url"])
