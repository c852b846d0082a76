"""Asks the router for an answer through livekit's OpenAI plugin, and says why there is none. Knows no sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import openai
from livekit.agents import APIConnectOptions, APIError, APIStatusError, llm
from livekit.plugins import openai as livekit_openai

from room_agent.conversation.notices import Trouble
from room_agent.core.router_client import KEPT_S, RouterClient, RouterError, tls
from routing.errors import RayroomError

MODEL = "auto"
FIRST_WORD_S = 12.0
"""The router has a deadline of its own for the first token, with its fallbacks and retries before it."""
NEXT_WORD_S = 10.0
AGAIN_S = 0.3
MOST_CHARS = 8_000
"""The longest answer: three minutes of speech have half as many."""
_AGAIN = frozenset({401, 408, 500, 502, 503, 504})


class NoAnswer(RayroomError):
    """The router gave no answer."""

    def __init__(self, trouble: Trouble, status: int | None) -> None:
        super().__init__(f"The router gave no answer: {status or 'not reached'}.")
        self.trouble = trouble
        self.answered_with = status


class RouterLlm:
    """One room's way to the router's chat completions, always with the token the room has now."""

    def __init__(self, router: RouterClient, url: str) -> None:
        self._router = router
        self._client = openai.AsyncClient(
            base_url=f"{url.rstrip('/')}/v1",
            api_key=self._token,
            max_retries=0,
            timeout=FIRST_WORD_S,
            http_client=openai.DefaultAsyncHttpxClient(verify=tls(), limits=httpx2.Limits(keepalive_expiry=KEPT_S)),
        )
        self._llm = livekit_openai.LLM(model=MODEL, client=self._client, max_retries=0)

    async def aclose(self) -> None:
        async with asyncio.timeout(NEXT_WORD_S):
            await self._llm.aclose()
            await self._client.close()

    async def answer(self, messages: Sequence[dict[str, Any]], failed_before: bool = False) -> AsyncIterator[str]:
        """Yield the answer's words as they come; closing the iterator cancels the request. Raises NoAnswer.

        `failed_before`: the last answer did not do, which the router counts when it chooses the model.
        """
        context = _context(messages)
        for last in (False, True):
            begun = False
            try:
                async for words in self._stream(context, failed_before):
                    begun = True
                    yield words
                return
            except (APIError, TimeoutError, OSError) as error:
                status = error.status_code if isinstance(error, APIStatusError) else None
                if begun or last or not (status is None or status in _AGAIN):
                    raise NoAnswer(Trouble.BUDGET if status == 402 else Trouble.THINKING, status) from None
            await self._before_the_next(status)

    async def _stream(self, context: llm.ChatContext, failed_before: bool) -> AsyncIterator[str]:
        options = APIConnectOptions(max_retry=0, timeout=FIRST_WORD_S)
        patience_s, characters = FIRST_WORD_S, 0
        extra = {"metadata": {"last_answer": "failed"}} if failed_before else {}
        async with self._llm.chat(chat_ctx=context, conn_options=options, extra_kwargs=extra) as stream:
            while characters < MOST_CHARS:
                try:
                    async with asyncio.timeout(patience_s):
                        chunk = await anext(stream)
                except StopAsyncIteration:
                    return
                if chunk.delta is not None and chunk.delta.content:
                    patience_s, characters = NEXT_WORD_S, characters + len(chunk.delta.content)
                    yield chunk.delta.content

    async def _before_the_next(self, status: int | None) -> None:
        if status != 401:
            await asyncio.sleep(AGAIN_S)
            return
        try:
            await self._router.open()
        except RouterError:
            raise NoAnswer(Trouble.THINKING, status) from None

    async def _token(self) -> str:
        return self._router.token


def _context(messages: Sequence[dict[str, Any]]) -> llm.ChatContext:
    """Return messages of a chat completion as livekit's own."""
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
