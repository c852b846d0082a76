"""Send sealed windows to the backend, and resend each with its flush id until the backend stores or refuses it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import structlog

from cluster.costs.call_size import CallSize
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.row_answers import CallTooLarge, DueRow, RowAnswer, RowStep, next_call, next_step
from cluster.costs.sending import SendingTable
from routing.errors import BackendError, BackendUnavailable, RayroomError
from routing.models import FlushRow
from routing.retry import backoff_s

ROWS_A_CALL = 25
"""A batch repeats its procedure in the path for every row, and servers limit paths: 25 rows stay below 600 bytes."""
FIRST_BACKOFF_S = 0.5
FAILING_TENANTS = 3
"""When no window of so many tenants is stored in a row, the backend fails as a whole, and the round ends."""
_NO_ANSWER = RowAnswer(kind="later", reason="NO_ANSWER")

T = TypeVar("T")

log = structlog.get_logger()


class CostBackend(Protocol):
    """The part of a backend that accepts sealed windows. It stores a flush id once, however often it is sent."""

    async def track_costs(self, rows: Sequence[FlushRow]) -> Mapping[str, RowAnswer]:
        """Send the rows in one call; return the answer to each by its flush id.

        Raises CallTooLarge when fewer rows may succeed, and another BackendError when the call fails as a whole.
        """


@dataclass
class SendCounters:
    """Counts of calls and of their windows since the process began."""

    calls: int = 0
    failed_calls: int = 0
    stored: int = 0
    parked: int = 0
    first_send_duplicates: int = 0


@dataclass
class Flusher:
    """Send on a timer. Every window's state is written after each call, so that no later failure undoes it."""

    commit_log: CommitLog
    journal: Journal
    backend: CostBackend
    every_s: float
    longest_backoff_s: float
    call_timeout_s: float
    park_after_s: float
    clock: Callable[[], float]
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0
    counters: SendCounters = field(default_factory=SendCounters)
    _size: CallSize = field(default_factory=lambda: CallSize(ROWS_A_CALL))
    _failing_tenants: set[str] = field(default_factory=set)
    _after_tenant: str = ""
    _flushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Flush for ever. After each failure wait longer, up to `longest_backoff_s`, with full jitter."""
        while True:
            error = await self.try_once()
            await asyncio.sleep(self.every_s if error is None else self._backoff_s(error))

    async def try_once(self) -> RayroomError | None:
        """Send the due windows; return the error when a call failed as a whole."""
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
        """Send every due window until none is left; raises the BackendError of a call that failed as a whole."""
        # Two rounds at once would carry the same window, and each would take the other's for an unexpected duplicate.
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        self._failing_tenants.clear()
        # The first pass may begin behind some tenants, so only a second one without a window has visited all.
        empty_passes = 0
        while empty_passes < 2:
            page, last_tenant = await self._on_thread(lambda: self._sending.due(self.clock(), self._after_tenant))
            await self._send_page(page)
            # After a failure the next round reads the same page again, without the windows that wait.
            self._after_tenant = last_tenant
            empty_passes = (0 if page else empty_passes) + (not last_tenant)

    async def drain(self) -> None:
        """Send every window now, those that wait included; raises BackendError when one is left that is not parked."""
        await self._on_thread(lambda: self._transact(self._sending.retry_now))
        await self.flush()
        unsent = (await self._on_thread(self._sending.counts)).unsent_windows
        if unsent:
            raise BackendUnavailable(f"The backend has not stored {unsent} of the windows yet.")

    async def _send_page(self, page: Sequence[DueRow]) -> None:
        waiting = deque(page)
        while waiting:
            call = next_call(waiting, self._size.rows)
            try:
                answers = await self._call(call)
            except CallTooLarge as error:
                self._size.shrink(len(call))
                if len(call) > 1:
                    waiting.extendleft(reversed(call))
                    continue
                answers = {call[0].row.flush_id: RowAnswer(kind="later", reason=error.code)}
            await self._record(call, answers)
            self._check_tenants(call, answers)

    async def _call(self, call: Sequence[DueRow]) -> Mapping[str, RowAnswer]:
        rows = [due.row for due in call]
        await self._on_thread(lambda: self._transact(lambda: self._sending.begin(row.flush_id for row in rows)))
        self.counters.calls += 1
        try:
            async with asyncio.timeout(self.call_timeout_s):
                return await self.backend.track_costs(rows)
        except CallTooLarge:
            raise
        except Exception as error:
            self.counters.failed_calls += 1
            self._size.shrink(len(call))
            if len(call) == 1:
                # The window may be the cause: it goes alone from now on, and later, so that the others pass it.
                await self._record([replace(call[0], alone=True)], {})
            if isinstance(error, TimeoutError):
                raise BackendUnavailable("The backend did not answer in time.") from None
            raise

    async def _record(self, call: Sequence[DueRow], answers: Mapping[str, RowAnswer]) -> None:
        now_s = self.clock()
        given = [(due, answers.get(due.row.flush_id, _NO_ANSWER)) for due in call]
        steps = [next_step(due, answer, len(call), now_s, self.park_after_s, self.rng) for due, answer in given]
        await self._on_thread(lambda: self._transact(lambda: self._sending.record(steps, now_s)))
        self._count(steps)

    def _count(self, steps: Sequence[RowStep]) -> None:
        stored = sum(step.kind == "stored" for step in steps)
        self.counters.stored += stored
        if stored:
            self.failures = 0
            self._size.stored(len(steps))
        for step in steps:
            row = step.due.row
            if step.kind == "park":
                self.counters.parked += 1
                log.error("window parked", flush_id=row.flush_id, tenant_id=row.tenant_id, reason=step.reason)
            elif step.alarm:
                self.counters.first_send_duplicates += 1
                log.error("window is a duplicate on its first send", flush_id=row.flush_id, tenant_id=row.tenant_id)

    def _check_tenants(self, call: Sequence[DueRow], answers: Mapping[str, RowAnswer]) -> None:
        """Raise BackendUnavailable when call after call stores nothing, for too many tenants to be their own fault."""
        if any(answer.kind != "later" for answer in answers.values()):
            self._failing_tenants.clear()
            return
        self._failing_tenants.update(due.row.tenant_id for due in call)
        if len(self._failing_tenants) >= FAILING_TENANTS:
            # The next round begins behind these tenants, so that they do not hold back the others.
            self._after_tenant = call[-1].row.tenant_id
            reasons = sorted({answer.reason for answer in answers.values()})
            waits_s = [answer.retry_after_s or 0.0 for answer in answers.values()]
            raise BackendUnavailable(
                f"The backend stores no window of {len(self._failing_tenants)} tenants: {', '.join(reasons)}.",
                retry_after_s=max(waits_s, default=0.0) or None,
            )

    async def _on_thread(self, call: Callable[[], T]) -> T:
        return await self.commit_log.run_on_journal_thread(call)

    def _transact(self, change: Callable[[], None]) -> None:
        with self.journal.transaction():
            change()

    @property
    def _sending(self) -> SendingTable:
        return self.journal.sending

    def _backoff_s(self, error: RayroomError) -> float:
        max_wait_s = backoff_s(self.failures, FIRST_BACKOFF_S, self.longest_backoff_s)
        return max(self.rng.uniform(0, max_wait_s), error.retry_after_s or 0.0)
