"""A model replica that records each request and gives scripted answers, whole or in pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from routing.models import Answer, Delta, EmbeddingResult, EmbedRequest, ModelRequest, Usage

USAGE = Usage(input_tokens=7, output_tokens=3)


@dataclass
class ScriptedReplica:
    """Scripted answers are used up in order; without one left a request is answered with `Hello`."""

    answers: deque[Answer] = field(default_factory=deque)
    streams: deque[tuple[Delta, ...]] = field(default_factory=deque)
    requests: list[ModelRequest] = field(default_factory=list)
    embed_requests: list[EmbedRequest] = field(default_factory=list)

    async def answer(self, request: ModelRequest) -> Answer:
        self.requests.append(request)
        hello = Answer(text="Hello", model=request.model, finish="stop", usage=USAGE)
        return self.answers.popleft() if self.answers else hello

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        hello = Delta(text="Hello"), Delta(finish="stop", usage=USAGE)
        for delta in self.streams.popleft() if self.streams else hello:
            yield delta

    async def embed(self, request: EmbedRequest) -> EmbeddingResult:
        self.embed_requests.append(request)
        vectors = tuple((1.0, *[0.0] * 1_023) for _ in request.inputs)
        return EmbeddingResult(vectors=vectors, model=request.model, usage=Usage(input_tokens=len(vectors)))

    async def aclose(self) -> None:
        return None
