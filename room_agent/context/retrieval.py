"""Looks a question up in the tenant's knowledge base, and never keeps its answer waiting. Asks the router alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

import structlog

from room_agent.core.router_client import RouterError
from room_agent.text.normalize import both_ends, says_the_same
from room_agent.text.quoting import one_line
from routing.models import Passage

DEADLINE_S = 0.3
"""The first token waits no longer than this for passages, from the end of the question on."""
LONGEST_S = 3.0
"""A search that began on interim text may run while somebody still speaks, but no longer than this."""
LONGEST_KEPT_S = 5.0
"""What was found for a text that was heard so far is old by then: another slide is shown, other words were said."""
TOP_K = 5
MAX_QUERY_CHARS = 2_000
MAX_IMAGE_BYTES = 1_500_000

log = structlog.get_logger()


class SearchClient(Protocol):
    """The router, as far as a search needs it."""

    async def search(self, query: str, jpeg: bytes | None, top_k: int, timeout_s: float) -> tuple[Passage, ...]: ...


@dataclass(slots=True)
class KnowledgeCounts:
    """What became of the searches: each one that was waited for is found, empty, late or failed."""

    found: int = 0
    empty: int = 0
    late: int = 0
    failed: int = 0
    cancelled: int = 0

    def report(self) -> dict[str, float]:
        """Return the counts as a heartbeat carries them."""
        return {f"knowledge_{name}": count for name, count in asdict(self).items()}


class PendingSearch:
    """One question's search, under way. Who began it waits for it once, or cancels it."""

    def __init__(
        self, task: asyncio.Task[tuple[Passage, ...]], query: str, counts: KnowledgeCounts, clock: Callable[[], float]
    ) -> None:
        self.query = query
        self._task = task
        self._counts = counts
        self._clock = clock
        self._begun_at_s = self._asked_at_s = clock()
        self._used = False

    @property
    def usable(self) -> bool:
        """Tell whether nobody has waited for it or given it up yet, and it neither failed nor is too old."""
        fresh = self._clock() - self._begun_at_s <= LONGEST_KEPT_S
        return fresh and not self._used and not self._task.cancelling() and not self._failed

    @property
    def _failed(self) -> bool:
        return self._task.done() and (self._task.cancelled() or self._task.exception() is not None)

    def final(self) -> None:
        """Count the deadline from now: the question that the search began on is at its end only now."""
        self._asked_at_s = self._clock()

    async def passages(self, deadline_s: float = DEADLINE_S) -> tuple[Passage, ...]:
        """Return the passages, or none once `deadline_s` is over since the question's end; raises nothing of ours."""
        self._used = True
        left_s = max(0.0, self._asked_at_s + deadline_s - self._clock())
        try:
            await asyncio.wait({self._task}, timeout=left_s)
        except asyncio.CancelledError:
            # The turn was interrupted: nobody is left who would read what is found.
            self.cancel()
            raise
        if self._task.cancel():
            self._counts.late += 1
            log.info("knowledge came late", waited_ms=round(1_000 * left_s))
            return ()
        return self._result()

    def cancel(self) -> None:
        """Give the search up; harmless once it is over."""
        if not self._task.cancelling() and self._task.cancel():
            self._counts.cancelled += 1

    def _result(self) -> tuple[Passage, ...]:
        if self._task.cancelled():
            return ()
        error = self._task.exception()
        if error is None:
            passages = self._task.result()
            self._counts.found += bool(passages)
            self._counts.empty += not passages
            return passages
        self._counts.failed += 1
        if isinstance(error, RouterError):
            log.warning("knowledge not searched", error=type(error).__name__, detail=error.message)
        else:
            log.error("a search failed by a fault of ours", error=type(error).__name__, exc_info=error)
        return ()


class KnowledgeRetrieval:
    """One room's searches, one at a time: the next question gives the last one's up."""

    def __init__(self, router: SearchClient, clock: Callable[[], float], top_k: int = TOP_K) -> None:
        self._router = router
        self._clock = clock
        self._top_k = top_k
        self._search: PendingSearch | None = None
        self._tasks: set[asyncio.Task[tuple[Passage, ...]]] = set()
        self.counts = KnowledgeCounts()

    def begin(self, question: str, frame_jpeg: bytes | None = None) -> PendingSearch:
        """Begin to look up a question, whole or as far as it was heard; give a frame when it is about the screen.

        Every beginning is paid for: see `foresee` for interim text, and go on with `finish`.
        """
        if self._search is not None:
            self._search.cancel()
        query = _query(question)
        jpeg = frame_jpeg if frame_jpeg is not None and len(frame_jpeg) <= MAX_IMAGE_BYTES else None
        task = asyncio.create_task(self._ask(query, jpeg), name="knowledge")
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        self._search = PendingSearch(task, query, self.counts, self._clock)
        return self._search

    def foresee(self, question: str, frame_jpeg: bytes | None = None) -> None:
        """Begin to look up what is likely to be asked, unless that is under way."""
        search = self._search
        if search is None or not search.usable or not says_the_same(search.query, _query(question)):
            self.begin(question, frame_jpeg)

    def finish(self, question: str, frame_jpeg: bytes | None = None) -> PendingSearch:
        """Return the search for a whole question: the one foreseen where it asks for the same, or a new one."""
        search = self._search
        whole = _query(question)
        if search is not None and search.usable and says_the_same(search.query, whole):
            search.final()
            return search
        return self.begin(question, frame_jpeg)

    async def aclose(self) -> None:
        """Give up what is under way and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LONGEST_S)

    async def _ask(self, query: str, jpeg: bytes | None) -> tuple[Passage, ...]:
        if not query:
            return ()
        return await self._router.search(query, jpeg, self._top_k, LONGEST_S)

    def _forget(self, task: asyncio.Task[tuple[Passage, ...]]) -> None:
        self._tasks.discard(task)
        # Read here too, or a failure that nobody waited for would be told of as lost.
        if not task.cancelled():
            task.exception()


def _query(question: str) -> str:
    # Twice as many, for what is spelled with more characters in normal form must not cost the end, which asks.
    return one_line(both_ends(question, MAX_QUERY_CHARS), 2 * MAX_QUERY_CHARS)
