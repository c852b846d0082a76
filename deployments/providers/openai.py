"""Adapter of OpenAI and of servers with its protocol: chats by the route that takes them, and embeddings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Protocol

from deployments.providers import openai_chat, openai_responses
from deployments.providers.base import served_name
from deployments.providers.errors import VendorResponse
from deployments.providers.timeouts import answered, gathered, streamed
from deployments.providers.usage import from_openai
from deployments.providers.vendor_call import VendorCall
from routing.capabilities import needs_responses
from routing.catalogue import Model
from routing.deltas import joined_answer
from routing.errors import ProviderRefused, ProviderTruncated
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest

_JSON = dict[str, Any]
DeltasOf = Callable[[list[_JSON]], Iterable[Delta]]


class OpenAITransport(Protocol):
    """A transport of JSON to a server and back. `reply` extracts the error response from the exceptions it raises."""

    async def post(self, path: str, body: _JSON, timeout_s: float) -> _JSON: ...

    def events(self, path: str, body: _JSON, timeout_s: float) -> AsyncGenerator[list[_JSON], None]:
        """Yield the events of a stream; those that arrived together are in one list."""

    async def read(self, path: str, body: _JSON, timeout_s: float, take: Callable[[list[_JSON]], None]) -> None:
        """Pass the events of a stream to `take`, many at a time; also those before its early end."""

    def reply(self, error: Exception) -> VendorResponse | None:
        """Return the error response of a server, or None if the exception carries none."""

    def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class OpenAIProvider:
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

    async def answer(self, model: Model, request: ModelRequest, call: VendorCall | None = None) -> Answer:
        """Return a whole answer, received as a stream: what the vendor has made is known when the caller leaves."""

        async def read(add: Callable[[Delta], None]) -> None:
            path, body, deltas_of = self._streaming(model, request)

            def take(events: list[_JSON]) -> None:
                for delta in deltas_of(events):
                    add(delta)

            await self._transport.read(path, body, request.timeout_s, take)

        deltas = await gathered(read, request.timeout_s, self._transport.reply, call)
        return joined_answer(deltas, served_name(model, False), False)

    def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        return streamed(self._deltas(model, request), request, self._transport.reply, call)

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

    async def _deltas(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        path, body, deltas_of = self._streaming(model, request)
        async with aclosing(self._transport.events(path, body, request.timeout_s)) as groups:
            async for events in groups:
                for delta in deltas_of(events):
                    yield delta

    def _streaming(self, model: Model, request: ModelRequest) -> tuple[str, _JSON, DeltasOf]:
        """Return the path and the body of a streamed request, and the reader of its events."""
        if self._responds(model, request):
            body = openai_responses.response_body(model, request) | {"stream": True}
            return openai_responses.PATH, body, openai_responses.EventReader().read
        body = openai_chat.chat_body(model, request, self._output_limit_field)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        return openai_chat.PATH, body, openai_chat.ChunkReader().deltas

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
