"""Send a replica's cost entries to the aggregator: one batch in flight, the next batch takes all that waited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable, RoomClosed
from routing.models import Intent, Outcome, Settlement, Spending, Usage
from routing.retry import backoff_s

SendEntries = Callable[[list[Entry]], Awaitable[Sequence[Receipt]]]

MAX_OUTBOX = 20_000
MAX_BATCH = 2_000
FIRST_BACKOFF_S = 0.05
MAX_BACKOFF_S = 1.0
CLOSE_TIMEOUT_S = 5.0
NOT_RESERVED = "The cost journal did not answer in time, so this attempt called no vendor."
NOT_SETTLED = "A vendor was called, but the cost journal did not answer in time. The cost is recorded later."

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _PendingEntry:
    entry: Entry
    done: asyncio.Future[Spending]


class CostOutbox:
    """Deliver entries in order and at least once; their event ids are idempotency keys, so a resend is harmless.

    A settlement stays in the outbox until it is acknowledged, even when its caller has stopped waiting.
    """

    def __init__(self, send: SendEntries, timeout_s: float) -> None:
        self._send = send
        self._timeout_s = timeout_s
        self._pending: list[_PendingEntry] = []
        self._sender: asyncio.Task[None] | None = None
        self.resends = 0

    @property
    def waiting(self) -> int:
        """The number of entries that are not acknowledged."""
        return len(self._pending)

    async def reserve(self, intent: Intent) -> Spending:
        """Return the tenant's spend and reservations once the intent is durable.

        Raises BudgetExceeded, RoomClosed or CostsUnavailable; in any case nothing stays reserved.
        """
        pending = self._post(intent)
        try:
            return await self._acknowledged(pending)
        except asyncio.CancelledError:
            self._withdraw(pending, intent)
            raise
        except CostsUnavailable as error:
            self._withdraw(pending, intent)
            raise CostsUnavailable(NOT_RESERVED, retry_after_s=error.retry_after_s) from None

    async def settle(self, settlement: Settlement) -> None:
        """Return once the settlement is durable. Raises CostsUnavailable on timeout, and still delivers it later."""
        try:
            await self._acknowledged(self._post(settlement))
        except CostsUnavailable as error:
            if settlement.outcome is not Outcome.OK and settlement.cost_nanousd == 0:
                raise
            raise CostsUnavailable(NOT_SETTLED, retry_after_s=error.retry_after_s, vendor_called=True) from None

    async def record(self, entries: Sequence[Entry]) -> Spending:
        """Return the tenant's spend and reservations once all of `entries` are durable; raises CostsUnavailable.

        The entries describe money that is spent already, so none is withdrawn: late ones are still delivered.
        """
        pending = [self._post(entry) for entry in entries]
        try:
            async with asyncio.timeout(self._timeout_s):
                receipts = [await asyncio.shield(item.done) for item in pending]
        except TimeoutError:
            raise CostsUnavailable(retry_after_s=1.0) from None
        # Not the last one: the receipt of a settlement that was sent before is empty.
        return max(receipts, key=lambda spending: spending.month_nanousd, default=Spending())

    def _post(self, entry: Entry) -> _PendingEntry:
        if len(self._pending) >= MAX_OUTBOX and isinstance(entry, Intent):
            raise CostsUnavailable(NOT_RESERVED, retry_after_s=1.0)
        pending = _PendingEntry(entry, asyncio.get_running_loop().create_future())
        # Read the exception: after a timeout no caller does, and asyncio would log it as never retrieved.
        pending.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._pending.append(pending)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._deliver())
        return pending

    async def _acknowledged(self, pending: _PendingEntry) -> Spending:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(pending.done)
        except TimeoutError:
            raise CostsUnavailable(retry_after_s=1.0) from None

    def _withdraw(self, pending: _PendingEntry, intent: Intent) -> None:
        """Settle an abandoned intent at zero, whether or not it was written."""
        if pending in self._pending:
            self._pending.remove(pending)
        self._post(
            Settlement(
                event_id=intent.event_id,
                outcome=Outcome.CANCELLED,
                cost_nanousd=0,
                estimated=False,
                usage=Usage(),
            )
        )

    async def _deliver(self) -> None:
        failures = 0
        while self._pending:
            batch = self._pending[:MAX_BATCH]
            try:
                async with asyncio.timeout(self._timeout_s):
                    receipts = await self._send([pending.entry for pending in batch])
                if len(receipts) != len(batch):
                    raise ValueError("a reply needs a receipt for each entry")
            except Exception as error:
                # After any error the entries are kept and sent again: the journal ignores the ones it holds.
                self.resends += 1
                log.warning("cost delivery failed", error=type(error).__name__, waiting=len(self._pending))
                failures += 1
                await asyncio.sleep(backoff_s(failures, FIRST_BACKOFF_S, MAX_BACKOFF_S))
                continue
            failures = 0
            self._acknowledge(batch, receipts)

    def _acknowledge(self, batch: list[_PendingEntry], receipts: Sequence[Receipt]) -> None:
        sent = set(map(id, batch))
        self._pending = [pending for pending in self._pending if id(pending) not in sent]
        for pending, receipt in zip(batch, receipts, strict=True):
            if pending.done.done():
                continue
            if isinstance(receipt, BudgetExceeded | RoomClosed):
                pending.done.set_exception(receipt)
            else:
                pending.done.set_result(receipt)

    async def aclose(self) -> None:
        """Deliver the pending entries, for CLOSE_TIMEOUT_S at most."""
        if self._sender is not None and not self._sender.done():
            await asyncio.wait({self._sender}, timeout=CLOSE_TIMEOUT_S)
            self._sender.cancel()
