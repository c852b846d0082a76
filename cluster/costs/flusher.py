"""Sends sealed windows to the backend until it has acknowledged them all. Knows no Ray and no HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from routing.errors import BackendError, RayroomError
from routing.models import FlushRow

ROWS_A_CALL = 50
FIRST_BACKOFF_S = 0.5

log = structlog.get_logger()


class TrackedLike(Protocol):
    @property
    def taken(self) -> frozenset[str]: ...

    @property
    def refused(self) -> dict[str, str]: ...


class CostBackend(Protocol):
    """The part of a backend that takes sealed windows; it keeps a flush id once however often it comes."""

    async def track_costs(self, rows: tuple[FlushRow, ...]) -> TrackedLike: ...


@dataclass
class Flusher:
    """Seals and sends on a timer; what failed goes again, the same rows with the same ids."""

    recorder: CommitLog
    journal: Journal
    backend: CostBackend
    every_s: float
    longest_backoff_s: float
    call_timeout_s: float
    clock: Callable[[], float]
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0

    async def run(self) -> None:
        """Flush for ever; a failure waits longer each time, up to `longest_backoff_s`, with full jitter."""
        while True:
            error = await self.try_once()
            await asyncio.sleep(self.every_s if error is None else self._backoff_s(error))

    async def try_once(self) -> RayroomError | None:
        """Seal and send once; returns the backend's error where it did not take everything."""
        try:
            await self.flush()
        except RayroomError as error:
            self.failures += 1
            log.warning("costs not flushed", error=error.code, detail=error.message, failures=self.failures)
            return error
        except Exception as error:
            # The loop must live: what is on disk is sent by a later round.
            self.failures += 1
            log.error("costs not flushed", error=type(error).__name__, failures=self.failures)
            return BackendError()
        self.failures = 0
        return None

    async def flush(self) -> None:
        """Seal what is settled and send every unsent window; raises BackendError."""
        await self.recorder.seal()
        while rows := await self.recorder.on_disk(lambda: self.journal.unsent(ROWS_A_CALL)):
            async with asyncio.timeout(self.call_timeout_s):
                tracked = await self.backend.track_costs(rows)
            await self.recorder.on_disk(lambda tracked=tracked: self._mark(tracked))  # type: ignore[misc]
            if not tracked.taken and not tracked.refused:
                raise BackendError("The backend took none of the rows.")

    def _mark(self, tracked: TrackedLike) -> None:
        with self.journal.transaction():
            self.journal.mark_sent(tracked.taken, self.clock())
            self.journal.park(tracked.refused)
        for flush_id, reason in tracked.refused.items():
            log.error("the backend refuses a window for good", flush_id=flush_id, reason=reason)

    def _backoff_s(self, error: RayroomError) -> float:
        ceiling = min(self.longest_backoff_s, FIRST_BACKOFF_S * 2 ** min(self.failures, 16))
        return max(self.rng.uniform(0, ceiling), error.retry_after_s or 0.0)
