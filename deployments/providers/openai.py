"""Adapter of OpenAI and of servers with its protocol: chats by the route that takes them, and embeddings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from deployments.providers import openai_chat, openai_responses
from deployments.providers.base import StreamingProvider, served_name
from deployments.providers.errors import VendorResponse
from deployments.providers.timeouts import answered, streamed
from deployments.providers.usage import from_openai
from deployments.providers.vendor_call import VendorCall
from routing.capabilities import needs_responses
from routing.catalogue import Model
from routing.errors import ProviderRefused, ProviderTruncated
from routing.models import Delta, EmbeddingResult, EmbedRequest, ModelRequest

_JSON = dict[str, Any]


class OpenAITransport(Protocol):
    """A transport of JSON to a server and back. `reply` extracts the error response from the exceptions it raises."""

    async def post(self, path: str, body: _JSON, timeout_s: float) -> _JSON: ...

    def events(self, path: str, body: _JSON, timeout_s: float) -> AsyncGenerator[list[_JSON], None]:
        """Yield the events of a stream; those that arrived together are in one list."""

    def reply(self, error: Exception) -> VendorResponse | None:
        """Return the error response of a server, or None if the exception carries none."""

    def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class OpenAIProvider(StreamingProvider):
    """One transport with one connection pool for each replica.

    `has_responses` says whether the server has OpenAI's Responses API, for requests that chat completions refuse.
    """

    def __init__(
        self,
        transport: OpenAITransport,
        output_limit_field: str = "max_completion_tokens",
        has_responses: bool = False,
    ) -> None:
        self._output_limit_field = output_limit_field
        self._transport = transport
        self._has_responses = has_responses

    def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        responds = self._responds(model, request)
        deltas = self._response_deltas(model, request) if responds else self._chat_deltas(model, request)
        return streamed(deltas, request, self._transport.reply, call)

    async def embed(self, model: Model, request: EmbedRequest, call: VendorCall | None = None) -> EmbeddingResult:
        if any(message.images for message in request.inputs):
            raise ProviderRefused(f"{model.name} embeds text only.", "input")
        return await answered(self._embed(model, request), request.timeout_s, self._transport.reply, call)

    def warm_up(self) -> None:
        self._transport.warm_up()

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _responds(self, model: Model, request: ModelRequest) -> bool:
        # Chat completions take no image in the result of a tool.
        return self._has_responses and (
            any(message.role == "tool" and message.images for message in request.messages)
            or needs_responses(model.capabilities, request.options, request.effort)
        )

    async def _chat_deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        body = openai_chat.chat_body(model, request, self._output_limit_field)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        reader = openai_chat.ChunkReader()
        async with aclosing(self._transport.events(openai_chat.PATH, body, request.timeout_s)) as groups:
            async for chunks in groups:
                yield reader.read(chunks)

    async def _response_deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        body = openai_responses.response_body(model, request) | {"stream": True}
        reader = openai_responses.EventReader()
        async with aclosing(self._transport.events(openai_responses.PATH, body, request.timeout_s)) as groups:
            async for events in groups:
                for delta in reader.read(events):
                    yield delta

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
