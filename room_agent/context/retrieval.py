"""Searches the tenant's knowledge base through the router, without ever delaying the answer beyond a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog

from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterError
from room_agent.text.normalize import both_ends, says_the_same
from room_agent.text.quoting import one_line
from routing.models import Passage

DEADLINE_S = 0.3
"""The longest wait for passages, counted from the end of the question."""
LONGEST_S = 3.0
"""The time limit of a search, which may begin on interim text while the question is still being spoken."""
LONGEST_KEPT_S = 5.0
"""After this time the result for an interim text is stale: another slide may be shown."""
TOP_K = 5
MAX_QUERY_CHARS = 2_000

log = structlog.get_logger()


@dataclass(slots=True)
class KnowledgeCounts:
    """The outcomes of searches: each awaited one is found, empty, late or failed."""

    found: int = 0
    empty: int = 0
    late: int = 0
    failed: int = 0
    cancelled: int = 0

    def report(self) -> dict[str, float]:
        """Return the counts as a heartbeat carries them."""
        return {f"knowledge_{name}": count for name, count in asdict(self).items()}


class PendingSearch:
    """The running search of one question. Its owner awaits the passages once, or cancels it."""

    def __init__(
        self, task: asyncio.Task[tuple[Passage, ...]], query: str, counts: KnowledgeCounts, clock: Callable[[], float]
    ) -> None:
        self.query = query
        self._task = task
        self._counts = counts
        self._clock = clock
        self._begun_at_s = self._deadline_from_s = clock()
        self._used = False

    @property
    def is_usable(self) -> bool:
        """Return whether the search is unused, neither cancelled nor failed, and not stale."""
        fresh = self._clock() - self._begun_at_s <= LONGEST_KEPT_S
        return fresh and not self._used and not self._task.cancelling() and not self._failed

    @property
    def _failed(self) -> bool:
        return self._task.done() and (self._task.cancelled() or self._task.exception() is not None)

    def final(self) -> None:
        """Start the deadline now: the search began on interim text, and the question ends only now."""
        self._deadline_from_s = self._clock()

    async def passages(self, deadline_s: float = DEADLINE_S) -> tuple[Passage, ...]:
        """Return the passages, or none `deadline_s` after the question's end. Failures are logged, not raised."""
        self._used = True
        left_s = max(0.0, self._deadline_from_s + deadline_s - self._clock())
        try:
            await asyncio.wait({self._task}, timeout=left_s)
        except asyncio.CancelledError:
            # The turn was interrupted: nothing will use the result.
            self.cancel()
            raise
        if self._task.cancel():
            self._counts.late += 1
            log.info("knowledge search timed out", waited_ms=round(1_000 * left_s))
            return ()
        return self._result()

    def cancel(self) -> None:
        """Cancel the search; without effect once it has ended."""
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
            log.warning("knowledge search failed", error=type(error).__name__, detail=error.message)
        else:
            log.error("knowledge search failed", error=type(error).__name__, exc_info=error)
        return ()


class KnowledgeRetrieval:
    """The searches of one room, one at a time: a new question cancels the previous search."""

    def __init__(self, router: RouterClient, clock: Callable[[], float]) -> None:
        self._router = router
        self._clock = clock
        self._search: PendingSearch | None = None
        self._tasks: set[asyncio.Task[tuple[Passage, ...]]] = set()
        self.counts = KnowledgeCounts()

    def begin(self, question: str, asker: str = "") -> PendingSearch:
        """Start a search for a complete or interim question.

        It is on the bill of the `asker`. Every started search costs money: use `prefetch` for interim text, and
        continue with `finish`.
        """
        if self._search is not None:
            self._search.cancel()
        query = search_query(question)
        task = asyncio.create_task(self._run(query, asker), name="knowledge")
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        self._search = PendingSearch(task, query, self.counts, self._clock)
        return self._search

    def prefetch(self, question: str, asker: str = "") -> None:
        """Start a search for interim text unless a search for the same query is running."""
        search = self._search
        if search is None or not search.is_usable or not says_the_same(search.query, search_query(question)):
            self.begin(question, asker)

    def finish(self, question: str, asker: str = "") -> PendingSearch:
        """Return the search of a complete question: the prefetched one if its query is the same, or a new one."""
        search = self._search
        whole = search_query(question)
        if search is not None and search.is_usable and says_the_same(search.query, whole):
            search.final()
            return search
        return self.begin(question, asker)

    async def aclose(self) -> None:
        """Cancel the running searches and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LONGEST_S)

    async def _run(self, query: str, asker: str) -> tuple[Passage, ...]:
        if not query:
            return ()
        return await self._router.search(query, TOP_K, LONGEST_S, asker)

    def _forget(self, task: asyncio.Task[tuple[Passage, ...]]) -> None:
        self._tasks.discard(task)
        # Retrieved here, or asyncio would log the error of a search that was never awaited.
        if not task.cancelled():
            task.exception()


def search_query(question: str) -> str:
    """Return the text to search for: one line of bounded length, with both ends of the question."""
    # Normalization may double the characters, and the cut must not lose the end, where the question often stands.
    return one_line(both_ends(question, MAX_QUERY_CHARS), 2 * MAX_QUERY_CHARS)
