"""Asks OpenAI, or any server that speaks its protocol, through the real SDK."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from deployments.providers.base import served_name
from deployments.providers.usage import from_openai
from routing.catalogue import Model
from routing.errors import (
    ProviderAuth,
    ProviderError,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderTruncated,
    ProviderUnreachable,
)
from routing.messages import Answer, Ask, Delta, EmbedAsk, Embeddings, Finish, Message

CONNECT_TIMEOUT_S = 3.0
LONGEST_RETRY_AFTER_S = 60.0
_QUOTA_CODES = {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"}
_FINISH: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
    "tool_calls": "tool_calls",
}


class OpenAIProvider:
    """One client, and with it one connection pool, for a replica. Retries are the router's, so the SDK's are off."""

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        self._client = openai.AsyncOpenAI(
            api_key=api_key, base_url=base_url, max_retries=0, http_client=openai.DefaultAioHttpClient()
        )

    async def answer(self, model: Model, ask: Ask) -> Answer:
        try:
            async with asyncio.timeout(ask.timeout_s):
                completion: ChatCompletion = await self._client.chat.completions.create(**_request(model, ask))
        except Exception as error:
            raise _ours(error) from None
        if not completion.choices or completion.choices[0].finish_reason is None:
            raise ProviderTruncated()
        choice = completion.choices[0]
        refusal = choice.message.refusal
        return Answer(
            text=choice.message.content or refusal or "",
            model=served_name(model, False),
            finish="refusal" if refusal else _FINISH.get(choice.finish_reason, "stop"),
            usage=from_openai(completion.usage),
        )

    async def stream(self, model: Model, ask: Ask) -> AsyncGenerator[Delta, None]:
        request = _request(model, ask) | {"stream": True, "stream_options": {"include_usage": True}}
        finish: Finish | None = None
        started_s = time.monotonic()
        usage = None
        try:
            async with asyncio.timeout(_first_token_s(ask)) as timer:
                stream = await self._client.chat.completions.create(**request)
                async with stream:
                    async for chunk in stream:
                        timer.reschedule(asyncio.get_running_loop().time() + _left_s(ask, started_s))
                        usage = from_openai(chunk.usage) or usage
                        delta = _delta(chunk)
                        finish = delta.finish or finish
                        if delta.text:
                            yield Delta(text=delta.text)
        except Exception as error:
            raise _ours(error) from None
        if finish is None:
            raise ProviderTruncated()
        yield Delta(finish=finish, usage=usage)

    async def embed(self, model: Model, ask: EmbedAsk) -> Embeddings:
        if any(message.images for message in ask.inputs):
            raise ProviderRefused(f"{model.name} embeds text only.", "input")
        texts = [message.text for message in ask.inputs]
        try:
            async with asyncio.timeout(ask.timeout_s):
                result = await self._client.embeddings.create(
                    model=model.vendor_name, input=texts, encoding_format="float"
                )
        except Exception as error:
            raise _ours(error) from None
        vectors = tuple(tuple(row.embedding) for row in result.data)
        return Embeddings(vectors=vectors, model=served_name(model, False), usage=from_openai(result.usage))

    def warm_up(self) -> None:
        # The SDK imports its resources at their first use: 0.3 s that no room should wait for.
        _ = self._client.chat.completions, self._client.embeddings

    async def aclose(self) -> None:
        await self._client.close()


def _request(model: Model, ask: Ask) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": model.vendor_name,
        "messages": [{"role": message.role, "content": _content(message)} for message in ask.messages],
        "max_completion_tokens": ask.max_output_tokens,
        "timeout": openai.Timeout(ask.timeout_s, connect=CONNECT_TIMEOUT_S),
    }
    return request if ask.temperature is None else request | {"temperature": ask.temperature}


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(image).decode()}}
        for image in message.images
    ]
    return [{"type": "text", "text": message.text}, *images]


def _delta(chunk: ChatCompletionChunk) -> Delta:
    if not chunk.choices:
        return Delta()
    choice = chunk.choices[0]
    finish = _FINISH.get(choice.finish_reason, "stop") if choice.finish_reason else None
    return Delta(text=choice.delta.content or choice.delta.refusal or "", finish=finish)


def _first_token_s(ask: Ask) -> float:
    return min(ask.first_token_timeout_s or ask.timeout_s, ask.timeout_s)


def _left_s(ask: Ask, started_s: float) -> float:
    return max(0.0, started_s + ask.timeout_s - time.monotonic())


def _ours(error: Exception) -> Exception:
    """Return a vendor's error as ours, by status and code and never by message."""
    match error:
        case ProviderError():
            return error
        case openai.APIStatusError():
            return _by_status(error.status_code, str(error.code or error.type or ""), error.response.headers)
        case openai.APITimeoutError() | TimeoutError():
            return ProviderTimeout()
        case openai.APIConnectionError():
            return ProviderUnreachable()
        case openai.APIError():
            return _in_stream(str(error.code or error.type or ""))
        case json.JSONDecodeError():
            return ProviderTruncated("The vendor's answer is not JSON.")
    # The aiohttp transport lets a broken connection through as its own error.
    return ProviderUnreachable(f"The connection to the vendor failed: {type(error).__name__}.")


def _by_status(status: int, code: str, headers: Mapping[str, str]) -> ProviderError:
    if code in _QUOTA_CODES or status == 402:
        return ProviderQuota()
    if status == 429:
        return ProviderRateLimited(retry_after_s=_retry_after_s(headers))
    if status in (401, 403):
        return ProviderAuth()
    if status == 408:
        return ProviderTimeout()
    if status >= 500:
        return ProviderOverloaded(retry_after_s=_retry_after_s(headers))
    return ProviderRefused(f"The vendor rejects the request: HTTP {status} {code[:60]}.".replace(" .", "."))


def _in_stream(code: str) -> ProviderError:
    if code in _QUOTA_CODES:
        return ProviderQuota()
    return ProviderRateLimited() if code == "rate_limit_exceeded" else ProviderOverloaded()


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    for name, scale in (("retry-after-ms", 1_000), ("retry-after", 1)):
        try:
            return min(max(float(headers[name]) / scale, 0.0), LONGEST_RETRY_AFTER_S)
        except (KeyError, ValueError):
            continue
    return None
