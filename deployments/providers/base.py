"""The interface of a vendor's adapter, and helpers that all adapters share."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from routing.catalogue import Model
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest


class Provider(Protocol):
    """One vendor. Every method makes one attempt within the request's timeouts and raises ProviderError."""

    async def answer(self, model: Model, request: ModelRequest) -> Answer: ...

    def stream(self, model: Model, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it arrives; the last delta carries `finish`, and `usage` if the vendor reported it."""

    async def embed(self, model: Model, request: EmbedRequest) -> EmbeddingResult: ...

    def warm_up(self) -> None:
        """Do the first request's imports and setup now, on the event loop that serves the requests."""

    async def aclose(self) -> None: ...


def served_name(model: Model, simulated: bool) -> str:
    """Return the model name in an answer and its bill; a simulated answer is marked in it."""
    return f"simulated/{model.name}" if simulated else model.name


def system_text(request: ModelRequest) -> str:
    """Return the text of the system messages, for vendors that take it apart from the conversation."""
    return "\n\n".join(message.text for message in request.messages if message.role == "system" and message.text)


def output_limit(model: Model, request: ModelRequest) -> int:
    """Return the vendor's output limit, which holds visible text and thinking."""
    return min(request.max_output_tokens + request.thinking_tokens, model.max_output_tokens)
