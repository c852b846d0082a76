"""Carries a replica's cost entries to the aggregator: one call in flight, the next takes all that waited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from cluster.costs.commit_log import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Intent, Outcome, Settlement, Usage

Send = Callable[[list[Entry]], Awaitable[Sequence[Receipt]]]

MAX_OUTBOX = 20_000
MAX_BATCH = 2_000
FIRST_BACKOFF_S = 0.05
LONGEST_BACKOFF_S = 1.0
CLOSE_TIMEOUT_S = 5.0

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Letter:
    entry: Entry
    done: asyncio.Future[int]


class CostOutbox:
    """Delivers entries in order and at least once; the ids make a resend harmless.

    A settlement stays in the outbox until it is acknowledged, whoever stopped waiting for it.
    """

    def __init__(self, send: Send, timeout_s: float) -> None:
        self._send = send
        self._timeout_s = timeout_s
        self._letters: list[_Letter] = []
        self._sender: asyncio.Task[None] | None = None
        self.resends = 0

    @property
    def waiting(self) -> int:
        return len(self._letters)

    async def reserve(self, intent: Intent) -> int:
        """Return what its tenant has committed, once the intent is durable.

        Raises BudgetExceeded or CostsUnavailable.
        """
        letter = self._post(intent)
        try:
            return await self._delivered(letter)
        except (CostsUnavailable, asyncio.CancelledError):
            self._withdraw(letter, intent)
            raise

    async def settle(self, settlement: Settlement) -> None:
        """Return once the settlement is durable; raises CostsUnavailable, and still delivers it later."""
        await self._delivered(self._post(settlement))

    async def record(self, entries: Sequence[Entry]) -> int:
        """Return what their tenant has committed, once all of `entries` are durable; raises CostsUnavailable.

        What they tell is spent already, so none is withdrawn: late ones are delivered like a settlement.
        """
        letters = [self._post(entry) for entry in entries]
        try:
            async with asyncio.timeout(self._timeout_s):
                return max([await asyncio.shield(letter.done) for letter in letters], default=0)
        except TimeoutError:
            raise CostsUnavailable(retry_after_s=1.0) from None

    def _post(self, entry: Entry) -> _Letter:
        if len(self._letters) >= MAX_OUTBOX and isinstance(entry, Intent):
            raise CostsUnavailable(retry_after_s=1.0)
        letter = _Letter(entry, asyncio.get_running_loop().create_future())
        # Nobody may be waiting any more when a late refusal arrives.
        letter.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._letters.append(letter)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._deliver())
        return letter

    async def _delivered(self, letter: _Letter) -> int:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(letter.done)
        except TimeoutError:
            raise CostsUnavailable(retry_after_s=1.0) from None

    def _withdraw(self, letter: _Letter, intent: Intent) -> None:
        """Make sure that an intent nobody acts on costs nothing, whether or not it was written."""
        if letter in self._letters:
            self._letters.remove(letter)
        self._post(
            Settlement(
                event_id=intent.event_id,
                outcome=Outcome.CANCELLED,
                cost_nanousd=0,
                estimated=False,
                usage=Usage(),
                settled_at_s=intent.opened_at_s,
            )
        )

    async def _deliver(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while self._letters:
            batch = self._letters[:MAX_BATCH]
            try:
                async with asyncio.timeout(self._timeout_s):
                    receipts = await self._send([letter.entry for letter in batch])
            except Exception as error:
                # Whatever it was, the entries are kept and go again: that is what this loop is for.
                self.resends += 1
                log.warning("costs not delivered", error=type(error).__name__, waiting=len(self._letters))
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
                continue
            backoff_s = FIRST_BACKOFF_S
            self._acknowledge(batch, receipts)

    def _acknowledge(self, batch: list[_Letter], receipts: Sequence[Receipt]) -> None:
        sent = set(map(id, batch))
        self._letters = [letter for letter in self._letters if id(letter) not in sent]
        for letter, receipt in zip(batch, receipts, strict=True):
            if letter.done.done():
                continue
            if isinstance(receipt, BudgetExceeded):
                letter.done.set_exception(receipt)
            else:
                letter.done.set_result(receipt)

    async def aclose(self) -> None:
        """Deliver what is left, for a few seconds at most."""
        if self._sender is not None and not self._sender.done():
            await asyncio.wait({self._sender}, timeout=CLOSE_TIMEOUT_S)
            self._sender.cancel()
