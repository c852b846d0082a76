"""The interface of a vendor's adapter, and helpers that all adapters share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from deployments.providers.vendor_call import VendorCall
from routing.catalogue import Model
from routing.deltas import joined_answer
from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest


class Provider(Protocol):
    """One vendor. Every method makes one attempt within the request's timeouts and raises ProviderError.

    `call` receives whether the request left and what came of it, also where the attempt fails or is cancelled.
    """

    async def answer(self, model: Model, request: ModelRequest, call: VendorCall | None = None) -> Answer: ...

    def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it arrives; the last delta carries `finish`, and `usage` if the vendor reported it."""

    async def embed(self, model: Model, request: EmbedRequest, call: VendorCall | None = None) -> EmbeddingResult: ...

    def warm_up(self) -> None:
        """Do the first request's imports and setup now, on the event loop that serves the requests."""

    async def aclose(self) -> None: ...


class StreamingProvider(ABC):
    """A vendor of which whole answers are requested as streams too.

    What the vendor has made is then known when the caller leaves, or when the stream breaks.
    """

    @abstractmethod
    def stream(
        self, model: Model, request: ModelRequest, call: VendorCall | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it arrives; Provider's."""

    async def answer(self, model: Model, request: ModelRequest, call: VendorCall | None = None) -> Answer:
        """Return a whole answer within `timeout_s`; the two timers of a stream do not apply."""
        untimed = replace(request, first_token_timeout_s=None, between_tokens_timeout_s=None)
        async with aclosing(self.stream(model, untimed, call)) as deltas:
            return joined_answer([delta async for delta in deltas], served_name(model, False), False)


def served_name(model: Model, simulated: bool) -> str:
    """Return the model name in an answer and its bill; a simulated answer is marked in it."""
    return f"simulated/{model.name}" if simulated else model.name


def system_text(request: ModelRequest) -> str:
    """Return the text of the system messages, for vendors that take it apart from the conversation."""
    return "\n\n".join(message.text for message in request.messages if message.role == "system" and message.text)


def output_limit(model: Model, request: ModelRequest) -> int:
    """Return the vendor's output limit, which holds visible text and thinking."""
    return min(request.max_output_tokens + request.thinking_tokens, model.max_output_tokens)
