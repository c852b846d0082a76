"""Asks OpenAI, or any server that speaks its protocol. The SDK says where and as whom; chat goes without it."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import openai

from deployments.providers.base import served_name, thinks
from deployments.providers.failures import Reply, retry_after_s
from deployments.providers.openai_wire import OpenAIWire, Refused
from deployments.providers.timers import CONNECT_TIMEOUT_S, answered, finished, streamed
from deployments.providers.usage import from_openai
from routing.catalogue import Model
from routing.errors import ProviderRefused, ProviderTruncated
from routing.messages import Answer, Ask, Delta, EmbedAsk, Embeddings, Finish, Message

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


class OpenAIProvider:
    """One connection pool for a replica. Retries are the router's, so the SDK's are off.

    Chat speaks the protocol itself: through the SDK an answer cost 0.88 ms of CPU instead of 0.19, a stream of 24
    pieces 2.6 instead of 1.0 (2 shared cores, 16 at once, the upstream of tests/benchmarks, 2026-11-25).
    """

    def __init__(
        self, api_key: str, base_url: str | None = None, output_limit_field: str = "max_completion_tokens"
    ) -> None:
        self._output_limit_field = output_limit_field
        self._client = openai.AsyncOpenAI(
            api_key=api_key, base_url=base_url, max_retries=0, http_client=openai.DefaultAioHttpClient()
        )
        self._wire = OpenAIWire(str(self._client.base_url), _headers(self._client))

    async def answer(self, model: Model, ask: Ask) -> Answer:
        return await answered(self._answer(model, ask), ask.timeout_s, _reply)

    def stream(self, model: Model, ask: Ask) -> AsyncGenerator[Delta, None]:
        return streamed(self._deltas(model, ask), ask, _reply)

    async def embed(self, model: Model, ask: EmbedAsk) -> Embeddings:
        if any(message.images for message in ask.inputs):
            raise ProviderRefused(f"{model.name} embeds text only.", "input")
        return await answered(self._embed(model, ask), ask.timeout_s, _reply)

    def warm_up(self) -> None:
        # The SDK imports its resources at their first use: 0.3 s that no room should wait for.
        _ = self._client.embeddings

    async def aclose(self) -> None:
        await self._wire.aclose()
        await self._client.close()

    async def _answer(self, model: Model, ask: Ask) -> Answer:
        completion = await self._wire.post(CHAT, self._request(model, ask))
        choice = completion["choices"][0]
        message = choice["message"]
        refusal = message.get("refusal")
        return Answer(
            text=message.get("content") or refusal or "",
            model=served_name(model, False),
            finish=finished("refusal" if refusal else _finish(choice.get("finish_reason"))),
            usage=from_openai(completion.get("usage")),
        )

    async def _deltas(self, model: Model, ask: Ask) -> AsyncGenerator[Delta, None]:
        request = self._request(model, ask) | {"stream": True, "stream_options": {"include_usage": True}}
        refused = False
        async with aclosing(self._wire.events(CHAT, request)) as groups:
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

    async def _embed(self, model: Model, ask: EmbedAsk) -> Embeddings:
        texts = [message.text for message in ask.inputs]
        request = {"model": model.vendor_name, "input": texts, "encoding_format": "float"}
        result = await self._client.post(
            "/embeddings", cast_to=_JSON, body=request, options={"timeout": _timeout(ask.timeout_s)}
        )
        rows = sorted(result["data"], key=lambda row: int(row["index"]))
        if len(rows) != len(texts):
            raise ProviderTruncated(phase="parse")
        vectors = tuple(tuple(row["embedding"]) for row in rows)
        return Embeddings(vectors=vectors, model=served_name(model, False), usage=from_openai(result.get("usage")))

    def _request(self, model: Model, ask: Ask) -> dict[str, Any]:
        return {
            "model": model.vendor_name,
            "messages": [{"role": message.role, "content": _content(message)} for message in ask.messages],
            self._output_limit_field: ask.max_output_tokens,
            **_sampling(model, ask),
        }


def _headers(client: openai.AsyncOpenAI) -> dict[str, str]:
    """Return who asks; organization and project come from the environment, as the SDK reads it."""
    account = {"OpenAI-Organization": client.organization, "OpenAI-Project": client.project}
    return {"authorization": f"Bearer {client.api_key}"} | {name: value for name, value in account.items() if value}


def _timeout(total_s: float) -> openai.Timeout:
    return openai.Timeout(total_s, connect=CONNECT_TIMEOUT_S)


def _sampling(model: Model, ask: Ask) -> dict[str, Any]:
    """Return a temperature where the model takes one: a model that thinks does not."""
    reasons = model.vendor_name.startswith(_REASONING)
    temperature = {} if ask.temperature is None else {"temperature": ask.temperature}
    if not reasons:
        return temperature
    return {} if thinks(ask) else temperature | {"reasoning_effort": "none"}


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(image).decode()}}
        for image in message.images
    ]
    return [{"type": "text", "text": message.text}, *images] if message.text else images


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


def _reply(error: Exception) -> Reply | None:
    if isinstance(error, Refused):
        return error.reply
    if isinstance(error, openai.APIStatusError):
        return Reply(
            status=error.status_code,
            codes=(error.code, error.type),
            retry_after_s=retry_after_s(error.response.headers),
        )
    return None
