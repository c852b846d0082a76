"""Send sealed windows to the backend, and resend each with its flush id until it is acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import FlushResult
from routing.errors import BackendError, RayroomError
from routing.models import FlushRow
from routing.retry import backoff_s

ROWS_A_CALL = 50
FIRST_BACKOFF_S = 0.5

log = structlog.get_logger()


class CostBackend(Protocol):
    """The part of a backend that accepts sealed windows. It stores a flush id once, however often it is sent."""

    async def track_costs(self, rows: tuple[FlushRow, ...]) -> FlushResult: ...


@dataclass
class Flusher:
    """Seal and send on a timer. After a failure the same rows are sent again with the same flush ids."""

    commit_log: CommitLog
    journal: Journal
    backend: CostBackend
    every_s: float
    longest_backoff_s: float
    call_timeout_s: float
    clock: Callable[[], float]
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0

    async def run(self) -> None:
        """Flush for ever. After each failure wait longer, up to `longest_backoff_s`, with full jitter."""
        while True:
            error = await self.try_once()
            await asyncio.sleep(self.every_s if error is None else self._backoff_s(error))

    async def try_once(self) -> RayroomError | None:
        """Seal and send once; return the error when the backend did not accept everything."""
        try:
            await self.flush()
        except RayroomError as error:
            self.failures += 1
            log.warning("cost flush failed", error=error.code, detail=error.message, failures=self.failures)
            return error
        except Exception as error:
            # The loop must survive any error: the windows are on disk, and a later round sends them.
            self.failures += 1
            log.error("cost flush failed", error=type(error).__name__, failures=self.failures)
            return BackendError()
        self.failures = 0
        return None

    async def flush(self) -> None:
        """Seal the settled events and send every unsent window; raises BackendError."""
        await self.commit_log.seal()
        on_thread = self.commit_log.run_on_journal_thread
        while rows := await on_thread(lambda: self.journal.unsent(ROWS_A_CALL)):
            async with asyncio.timeout(self.call_timeout_s):
                result = await self.backend.track_costs(rows)
            await on_thread(lambda result=result: self._mark(result))  # type: ignore[misc]
            # Without this the loop would send the same rows again at once, for as long as the backend stores none.
            if not result.accepted and not result.refused:
                raise BackendError("The backend accepted none of the rows.")

    def _mark(self, result: FlushResult) -> None:
        with self.journal.transaction():
            self.journal.mark_sent(result.accepted, self.clock())
            self.journal.mark_refused(result.refused)
        for flush_id, reason in result.refused.items():
            log.error("cost window refused", flush_id=flush_id, reason=reason)

    def _backoff_s(self, error: RayroomError) -> float:
        max_wait_s = backoff_s(self.failures, FIRST_BACKOFF_S, self.longest_backoff_s)
        return max(self.rng.uniform(0, max_wait_s), error.retry_after_s or 0.0)
