"""Write cost entries durably in their order of arrival, many in one commit."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TypeVar

import structlog

from cluster.costs.call_records import CallRecordStore
from cluster.costs.entry_writer import CostCounters, EntryWriter
from cluster.costs.expiry_gate import ExpiryGate
from cluster.costs.journal import Journal
from cluster.costs.models import Correction, Entry, Receipt
from cluster.costs.record_coverage import RecordCoverage, SavedCoverage
from cluster.costs.storage.windows import EVENTS_A_SLICE, WINDOWS_A_SLICE
from cluster.costs.witnesses import plausible
from routing.errors import CostsUnavailable
from routing.models import CallRecord, Intent, Spending, TenantTotals

T = TypeVar("T")

MAX_WAITING = 50_000
"""Entries that may wait for a commit: about two seconds of writes on two cores."""
EXPIRIES_A_SLICE = 500
"""Intents that expire in one transaction: waiting commits come in between two of them."""
OUTBOX_GRACE_S = 30.0
PROVEN_S = 5.0

log = structlog.get_logger()


class CommitLog:
    """Group commit: all entries that arrive during one commit form the next batch, written as one transaction.

    Every call of the journal runs on one dedicated thread. Totals are read by another one over a connection of its own,
    so that no read holds up a commit. `clock` is the booking clock.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Callable[[], float],
        closed: Callable[[Intent], bool] = lambda intent: False,
        outbox_grace_s: float = OUTBOX_GRACE_S,
        alert_thresholds: Sequence[float] = (),
    ) -> None:
        """`closed` tells whether the room of an intent was closed after its token was issued."""
        self._journal = journal
        self._clock = clock
        self._calls = CallRecordStore()
        self._writer = EntryWriter(journal, clock, self._calls, closed, alert_thresholds)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._reader = journal.reader()
        self._reading_thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._waiting: list[tuple[Sequence[Entry], asyncio.Future[list[Receipt]]]] = []
        self._waiting_entries = 0
        self._committing: asyncio.Task[None] | None = None
        self._closing = False
        self._gate = ExpiryGate.started(clock(), outbox_grace_s)
        self._coverage = RecordCoverage.started(clock(), journal.coverage.load())
        self._saved_coverage: SavedCoverage | None = None

    @property
    def counters(self) -> CostCounters:
        return self._writer.counters

    @property
    def call_records(self) -> CallRecordStore:
        return self._calls

    async def write(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Return each entry's receipt, once all of them are on disk.

        Raises CostsUnavailable, with none of them written, when too many entries wait, when the commit fails, and from
        `aclose` on.
        """
        if self._closing or self._waiting_entries + len(entries) > MAX_WAITING:
            self.counters.refused_entries += len(entries)
            raise CostsUnavailable(retry_after_s=1.0)
        future: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, future))
        self._waiting_entries += len(entries)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._write_waiting())
        return await future

    def add_call_records(self, records: Iterable[CallRecord]) -> None:
        """Keep what model replicas report of their vendor calls. Nothing is written before an event needs it."""
        now_s, dropped = self._clock(), self._calls.dropped
        for record in records:
            if plausible(record):
                self._calls.add(record, now_s)
            else:
                self.counters.refused_entries += 1
        if self._calls.dropped > dropped:
            self.lose_call_records()

    def replica_connected(self, replica_id: str) -> None:
        """Record that a model replica will send its call records from now on."""
        self._coverage.connect(replica_id, self._clock())
        self._save_coverage()

    def replica_complete(self, replica_id: str, kept_s: float) -> None:
        """Record that a connected model replica has sent all records of its last `kept_s` seconds."""
        self._coverage.complete(replica_id, kept_s, self._clock())
        self._save_coverage()

    @property
    def ping(self) -> int:
        """The number of the ping that every connected model replica has to reply to."""
        return self._coverage.ping

    def replica_replied(self, replica_id: str, ping: int) -> None:
        """Record a connected model replica's reply to a ping."""
        self._coverage.reply(replica_id, ping)

    def replica_disconnected(self, replica_id: str, *, records_lost: bool, taken_over_by: str | None = None) -> None:
        """Record that a model replica's connection ended, perhaps with records that never arrived.

        `taken_over_by` is the replica that sent the records of this one, which is dead.
        """
        self._coverage.disconnect(replica_id, self._clock(), records_lost=records_lost, taken_over_by=taken_over_by)
        self._save_coverage()

    def lose_call_records(self) -> None:
        """Record that call records may have been lost until now."""
        self._coverage.lose(self._clock())
        self._save_coverage()

    def _save_coverage(self) -> None:
        """Save the list of replicas for a restarted aggregator; the next tick of `expire` repeats a failed write."""
        saved = self._coverage.saved()
        if saved != self._saved_coverage and not self._closing:
            self._saved_coverage = saved
            self._thread.submit(self._write_coverage, saved)

    def _write_coverage(self, saved: SavedCoverage) -> None:
        try:
            with self._journal.transaction():
                self._journal.coverage.save(saved)
        except sqlite3.Error as error:
            self._saved_coverage = None
            log.error("coverage of call records not saved", error=type(error).__name__)

    async def correct(self, correction: Correction) -> bool:
        """Book a correction, such as a refund; return False for an unknown event and for a repeated correction."""
        return await self.run_on_journal_thread(lambda: self._writer.correct(correction))

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting, self._waiting_entries = self._waiting, [], 0
            entries = [entry for group, _ in batch for entry in group]
            try:
                receipts = iter(await self.run_on_journal_thread(lambda entries=entries: self._writer.commit(entries)))  # type: ignore[misc]
            except Exception as error:
                log.error("journal commit failed", entries=len(entries), error=type(error).__name__)
                _fail(batch, CostsUnavailable(retry_after_s=1.0))
                continue
            for group, future in batch:
                result = [next(receipts) for _ in group]
                if not future.done():
                    future.set_result(result)

    async def run_on_journal_thread(self, call: Callable[[], T]) -> T:
        """Run `call` on the journal's thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _read(self, query: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading_thread, query)

    async def expire(self) -> None:
        """Give estimated events their better figures, then settle the expired intents. Call it about every second.

        Nothing expires for a while after a start, and after a pause between two calls that was too long.
        """
        now_s = self._clock()
        if self._gate.stalled(now_s):
            self._coverage.stall(self._gate.ticked_at_s, now_s)
        self._coverage.give_up(now_s)
        expiry = self._gate.tick(now_s)
        self._save_coverage()
        await self._in_slices(self._writer.improve)
        if expiry:
            await self._in_slices(self._writer.expire)

    async def _in_slices(self, settle: Callable[[float | None, int], int]) -> None:
        while True:
            since_s = self._coverage.proven_since_s
            settled = await self.run_on_journal_thread(lambda since_s=since_s: settle(since_s, EXPIRIES_A_SLICE))  # type: ignore[misc]
            if settled < EXPIRIES_A_SLICE:
                return

    async def seal(self) -> int:
        """Seal all settled events in slices, each quarter of an hour apart; return the number of windows."""
        sealed, left = 0, self._journal.unsealed_events
        while True:
            filled = EVENTS_A_SLICE
            while filled >= EVENTS_A_SLICE:
                filled = await self.run_on_journal_thread(self._journal.fill_windows)
                left -= filled
            closed = WINDOWS_A_SLICE
            while closed >= WINDOWS_A_SLICE:
                closed = await self.run_on_journal_thread(self._journal.close_windows)
                sealed += closed
            # Events that settled meanwhile may wait for the next call.
            if left <= 0:
                return sealed

    async def check_writable(self) -> None:
        """Raise CostsUnavailable while the disk takes no commit. One that is older than `PROVEN_S` proves nothing."""
        if time.monotonic() - self._journal.committed_at_s < PROVEN_S and self._journal.writable:
            return
        if self._closing or not await self.run_on_journal_thread(self._journal.probe):
            raise CostsUnavailable(retry_after_s=1.0)

    async def totals(self, tenant_id: str) -> TenantTotals:
        """Return a tenant's totals. Raises CostsUnavailable after a commit failed, until one succeeds."""
        if not self._journal.writable and not await self.run_on_journal_thread(self._journal.probe):
            raise CostsUnavailable(retry_after_s=1.0)
        return await self._read(lambda: self._reader.totals(tenant_id))

    def spent(self, tenant_id: str, room: str) -> Spending:
        """Return the spend of a tenant and of a room, without waiting for a commit: a heartbeat must not."""
        return self._writer.spent(tenant_id, room)

    async def spend_of_month(self) -> dict[str, int]:
        """Return the spend of each tenant in this month, of UTC: for an overview, never for a bill."""
        return await self.run_on_journal_thread(lambda: self._writer.spend_of_month())

    async def open_intents(self) -> int:
        return await self._read(self._reader.open_intents)

    async def metrics(self) -> dict[str, float]:
        """Return the figures that tell an operator how the bill stands, by name."""
        open_intents, oldest_s = await self._read(lambda: (self._reader.open_intents(), self._reader.oldest_unsent_s()))
        return {
            **asdict(self.counters),
            "open_intents": open_intents,
            "journal_lag_seconds": 0.0 if oldest_s is None else max(0.0, self._clock() - oldest_s),
            "call_records": len(self._calls),
            "dropped_call_records": self._calls.dropped,
            "connected_replicas": len(self._coverage.connected),
        }

    async def aclose(self) -> None:
        """Refuse new entries, finish the writes under way, then close the journal."""
        self._closing = True
        if self._committing is not None:
            await self._committing
        await self._read(self._reader.close)
        await self.run_on_journal_thread(self._journal.close)
        self._reading_thread.shutdown()
        self._thread.shutdown()


def _fail(batch: Sequence[tuple[Sequence[Entry], asyncio.Future[list[Receipt]]]], error: CostsUnavailable) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
