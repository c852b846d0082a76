"""Search a tenant's knowledge base within a deadline, and cut its passages to their limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from deployments.api.embedding_schemas import KnowledgeSearch
from deployments.api.inline_images import inline_image
from deployments.common.settings import KnowledgeSettings
from routing.chat import Message
from routing.errors import BackendUnavailable, BadInput
from routing.models import Directory, EmbeddingResult, Passage

MAX_ID_CHARS = 256
MAX_SOURCE_CHARS = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The passages for a question, the best first, and the cost of its embedding."""

    passages: tuple[Passage, ...]
    model: str
    cost_nanousd: int
    simulated: bool


def to_question(request: KnowledgeSearch, max_px: int) -> Message:
    """Return the question as an input for embedding; raises BadInput."""
    if not request.query.strip():
        raise BadInput("query: is empty; it must hold a question.", "query")
    images = () if request.image is None else (inline_image(request.image, "image", max_px),)
    return Message(role="user", content=(request.query, *images))


async def find(
    directory: Directory, tenant_id: str, request: KnowledgeSearch, embeddings: EmbeddingResult, timeout_s: float
) -> tuple[Passage, ...]:
    """Return the tenant's passages for an embedded question; raises BackendError."""
    (vector,) = embeddings.vectors
    try:
        async with asyncio.timeout(timeout_s):
            return await directory.search(tenant_id, request.query, vector, request.top_k)
    except TimeoutError:
        raise BackendUnavailable("The knowledge base did not answer in time.", retry_after_s=1.0) from None


def cut(passages: Iterable[Passage], top_k: int, settings: KnowledgeSettings) -> tuple[Passage, ...]:
    """Return the first relevant passages, each cut to its limit, until the total limit is reached."""
    kept: list[Passage] = []
    left = settings.total_chars
    for passage in [passage for passage in passages if _is_relevant(passage, settings.least_score)][:top_k]:
        if not left:
            break
        text = passage.text[: min(settings.passage_chars, left)]
        if not text.strip():
            continue
        left -= len(text)
        source, passage_id = passage.source[:MAX_SOURCE_CHARS], passage.passage_id[:MAX_ID_CHARS]
        kept.append(replace(passage, text=text, source=source, passage_id=passage_id))
    return tuple(kept)


def _is_relevant(passage: Passage, least_score: float | None) -> bool:
    return least_score is None or passage.score is None or passage.score >= least_score
