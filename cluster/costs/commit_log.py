"""Write cost entries durably in their order of arrival, many in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from cluster.costs.journal import Journal
from cluster.costs.models import Entry, Knowledge, Receipt
from cluster.costs.windows import EVENTS_A_SLICE, WINDOWS_A_SLICE
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import Intent, Outcome, Settlement, TenantTotals, Usage

T = TypeVar("T")

MAX_WAITING = 50_000
"""Entries that may wait for a commit: about two seconds of writes on two cores."""

log = structlog.get_logger()


class CommitLog:
    """Group commit: all entries that arrive during one commit form the next batch, written as one transaction.

    Every call of the journal runs on one dedicated thread, and only that thread changes the ledger. Totals are read by
    another thread over a connection of its own, so that no read holds up a commit.
    """

    def __init__(
        self, journal: Journal, clock: Callable[[], float], closed: Callable[[Intent], bool] = lambda intent: False
    ) -> None:
        """`closed` tells whether the room of an intent was closed after its token was issued."""
        self._journal = journal
        self._clock = clock
        self._closed = closed
        self._ledger = journal.ledger(clock())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._reader = journal.reader()
        self._reading_thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._waiting: list[tuple[Sequence[Entry], asyncio.Future[list[Receipt]]]] = []
        self._waiting_entries = 0
        self._writer: asyncio.Task[None] | None = None
        self.refused_entries = 0
        self.ignored_settlements = 0

    async def write(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Return each entry's receipt, once all of them are on disk.

        Raises CostsUnavailable, with none of them written, when too many entries wait or when the commit fails.
        """
        if self._waiting_entries + len(entries) > MAX_WAITING:
            self.refused_entries += len(entries)
            raise CostsUnavailable(retry_after_s=1.0)
        future: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, future))
        self._waiting_entries += len(entries)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return await future

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting, self._waiting_entries = self._waiting, [], 0
            entries = [entry for group, _ in batch for entry in group]
            try:
                receipts = iter(await self.run_on_journal_thread(lambda entries=entries: self._commit(entries)))  # type: ignore[misc]
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

    def _commit(self, entries: Sequence[Entry]) -> list[Receipt]:
        try:
            with self._journal.transaction():
                return [self._apply(entry) for entry in entries]
        except BaseException:
            # The rollback undid the events but not the accounts: read them again from the events on disk.
            self._ledger = self._journal.ledger(self._clock())
            raise

    def _apply(self, entry: Entry) -> Receipt:
        if isinstance(entry, Settlement):
            return self._settle(entry)
        # An intent that is present already is a resend: its estimate is reserved.
        now_s = self._clock()
        if self._journal.add_intent(entry, arrived_at_s=now_s, expires_at_s=now_s + entry.lifetime_s):
            try:
                if self._closed(entry):
                    raise RoomClosed(param="authorization")
                self._ledger.reserve(entry, self._clock())
            except (BudgetExceeded, RoomClosed) as refusal:
                self._journal.remove_intent(entry.event_id)
                return refusal
        return self._ledger.account(entry.tenant_id, self._clock()).committed_nanousd

    def _settle(self, settlement: Settlement) -> int:
        known = Knowledge.ROUTER_ESTIMATE if settlement.estimated else Knowledge.VENDOR_FINAL
        if settlement.outcome == Outcome.EXPIRED:
            known = Knowledge.EXPIRY
        settled = self._journal.settle(settlement, knowledge=known, booked_at_s=self._clock())
        if settled is None:
            self.ignored_settlements += 1
            return 0
        self._ledger.settle(settled.tenant_id, settled.released_nanousd, settled.added_nanousd, self._clock())
        return self._ledger.account(settled.tenant_id, self._clock()).committed_nanousd

    async def seal(self) -> int:
        """Settle the expired intents, then seal all settled events; return the number of windows.

        Each slice is one short call, so that waiting commits get their turn in between.
        """
        await self.run_on_journal_thread(self._expire)
        while await self.run_on_journal_thread(self._journal.fill_windows) >= EVENTS_A_SLICE:
            pass
        sealed = 0
        while (closed := await self.run_on_journal_thread(self._journal.close_windows)) >= WINDOWS_A_SLICE:
            sealed += closed
        return sealed + closed

    def _expire(self) -> None:
        expired = self._journal.expired(self._clock())
        if expired:
            log.warning("expired intents settled at their estimates", intents=len(expired))
            self._commit(
                [
                    Settlement(
                        event_id=intent.event_id,
                        outcome=Outcome.EXPIRED,
                        cost_nanousd=intent.estimate_nanousd,
                        estimated=True,
                        usage=Usage(),
                    )
                    for intent in expired
                ]
            )

    async def totals(self, tenant_id: str) -> TenantTotals:
        return await self._read(lambda: self._reader.totals(tenant_id))

    def spent_nanousd(self, tenant_ids: Iterable[str]) -> dict[str, int]:
        """Return each tenant's spend this month without waiting for a commit: a heartbeat must not."""
        return self._ledger.spent_nanousd(tenant_ids, self._clock())

    async def open_intents(self) -> int:
        return await self._read(self._reader.open_intents)

    async def aclose(self) -> None:
        """Finish the writes under way, then close the journal."""
        if self._writer is not None:
            await self._writer
        await self._read(self._reader.close)
        await self.run_on_journal_thread(self._journal.close)
        self._reading_thread.shutdown()
        self._thread.shutdown()


def _fail(batch: Sequence[tuple[Sequence[Entry], asyncio.Future[list[Receipt]]]], error: CostsUnavailable) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
