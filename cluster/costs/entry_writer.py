"""Apply entries to the journal, the ledger and the call records: each batch in one transaction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from cachetools import FIFOCache

from cluster.costs.call_records import LONGEST_LIFETIME_S, WATCH_S, CallRecordStore
from cluster.costs.journal import Journal
from cluster.costs.ledger import Ledger
from cluster.costs.models import MOST_NANOUSD, Correction, Entry, EstimatedEvent, Knowledge, Receipt, SettledIntent
from cluster.costs.witnesses import expiry_of, improvement_of, plausible, settlement_of
from routing.billing.budgets import day_of
from routing.errors import BudgetExceeded, RoomClosed
from routing.models import Intent, Settlement, Spending

MAX_EARLY = 10_000
"""Settlements that are kept for an intent that a broken connection has delayed."""
IDLE_S = 2 * 86_400.0
"""A room that spent nothing for so long needs no account: its budget is a day's."""
ALERTS_KEPT_S = 40 * 86_400.0
"""Longer than the month in which an alert must not be raised again."""

log = structlog.get_logger()


@dataclass(slots=True)
class CostCounters:
    """The entries, since the process began, that had another effect than their senders expect."""

    refused_entries: int = 0
    ignored_settlements: int = 0
    contradictions: int = 0
    budget_refusals: int = 0
    expired_intents: int = 0
    never_left: int = 0
    corrections: int = 0


class EntryWriter:
    """Book each entry at the booking clock's time. Not thread-safe, except for `spent`."""

    def __init__(
        self,
        journal: Journal,
        clock: Callable[[], float],
        calls: CallRecordStore,
        closed: Callable[[Intent], bool],
        alert_thresholds: Sequence[float] = (),
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._calls = calls
        self._closed = closed
        self._thresholds = alert_thresholds
        self._ledger = self._read_ledger()
        self._written_on = ""
        self._early: FIFOCache[str, Settlement] = FIFOCache(MAX_EARLY)
        self._after_commit: list[Callable[[], object]] = []
        self.counters = CostCounters()
        now_s = clock()
        for event in journal.estimated_events(now_s - LONGEST_LIFETIME_S, now_s + WATCH_S):
            calls.watch(event)

    def commit(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Write the entries as one transaction and return their receipts."""
        now_s = self._clock()

        def apply() -> list[Receipt]:
            self._journal.preload(entries)
            return [self._apply(entry, now_s) for entry in entries]

        return self._transact(apply)

    def expire(self, witnessed_since_s: float | None, limit: int) -> int:
        """Settle up to `limit` expired intents at what is known of them; return their number."""
        now_s = self._clock()
        expired = self._journal.expired(now_s, limit)
        settlements = [expiry_of(intent, self._calls.find(intent.event_id), witnessed_since_s) for intent in expired]
        self._transact(lambda: [self._settle(*one, now_s) for one in settlements])
        estimates = sum(settlement.estimated for settlement, _ in settlements)
        self.counters.expired_intents += len(expired)
        self.counters.never_left += sum(knowledge is Knowledge.NEVER_LEFT for _, knowledge in settlements)
        if estimates:
            log.warning("expired intents settled at estimates", intents=estimates)
        return len(expired)

    def improve(self, witnessed_since_s: float | None, limit: int) -> int:
        """Give up to `limit` estimated events the better figures that came since; return the number of events."""
        now_s = self._clock()
        due = self._calls.due(now_s, limit)
        better = [improvement_of(event, record, witnessed_since_s) for event, record in due]
        self._transact(lambda: [self._settle(*one, now_s) for one in better if one is not None])
        for (event, _), found in zip(due, better, strict=True):
            known = event.known if found is None else found[1]
            # A replica may be stopped for long and report afterwards, also on a call that seemed never to have left.
            if known >= Knowledge.REPLICA_PARTIAL or now_s - event.arrived_at_s > LONGEST_LIFETIME_S:
                self._calls.close(event.event_id)
            else:
                self._calls.watch(replace(event, known=known, until_s=now_s + WATCH_S))
        return len(due)

    def correct(self, correction: Correction) -> bool:
        """Book a correction, such as a refund; return False for an unknown event and for a repeated correction."""
        now_s = self._clock()

        def apply() -> list[Receipt]:
            settled = self._journal.correct(correction, booked_at_s=now_s)
            return [] if settled is None else [self._book(settled, now_s)]

        return bool(self._transact(apply))

    def spent(self, tenant_id: str, room: str) -> Spending:
        """Return the spend of a tenant and of a room, without reservations; any thread may call it."""
        return self._ledger.spent(tenant_id, room, self._clock())

    def spend_of_month(self) -> dict[str, int]:
        """Return the spend of each tenant in this month of UTC."""
        return self._ledger.spend_of_month(day_of(self._clock(), "")[:7])

    def _transact(self, apply: Callable[[], list[Receipt]]) -> list[Receipt]:
        self._after_commit.clear()
        try:
            with self._journal.transaction():
                receipts = apply()
                self._write_accounts()
        except BaseException:
            # The rollback undid the events but not the accounts: read them again from the disk.
            self._ledger = self._read_ledger()
            raise
        for call in self._after_commit:
            call()
        return receipts

    def _read_ledger(self) -> Ledger:
        ledger = self._journal.ledger(self._clock())
        ledger.thresholds = self._thresholds
        return ledger

    def _write_accounts(self) -> None:
        ledger, journal = self._ledger, self._journal
        if self._written_on != (today := day_of(self._clock())):
            # Two days on, it is past the day in every time zone.
            before = day_of(self._clock() - IDLE_S)
            ledger.forget_idle(before)
            journal.accounts.forget_idle(before)
            journal.alerts.forget(self._clock() - ALERTS_KEPT_S)
            self._written_on = today
        journal.accounts.save({key: ledger.accounts[key] for key in ledger.changed})
        ledger.changed.clear()
        if ledger.alerts:
            journal.alerts.add(ledger.alerts)
            ledger.alerts.clear()

    def _apply(self, entry: Entry, now_s: float) -> Receipt:
        if isinstance(entry, Intent):
            return self._reserve(entry, now_s)
        if not plausible(entry):
            # Its intent expires, at what the model replica reports or at its estimate.
            self.counters.refused_entries += 1
            log.error("settlement refused: its figures cannot be true", event_id=entry.event_id)
            return Spending()
        return self._settle(*settlement_of(entry, self._calls.find(entry.event_id)), now_s)

    def _reserve(self, intent: Intent, now_s: float) -> Receipt:
        if not 0 <= intent.estimate_nanousd <= MOST_NANOUSD:
            self.counters.refused_entries += 1
            return BudgetExceeded("The estimate of the request's cost cannot be true.")
        # An intent that is present already is a resend: its estimate is reserved.
        if self._journal.add_intent(intent, arrived_at_s=now_s, expires_at_s=now_s + _lifetime_s(intent)):
            early = self._early.get(intent.event_id) if self._early else None
            if early is not None:
                # Its settlement overtook it on another connection: nothing is left to reserve.
                self._ledger.reserve_spent(intent, now_s)
                return self._settle(*settlement_of(early, self._calls.find(intent.event_id)), now_s)
            try:
                if self._closed(intent):
                    raise RoomClosed(param="authorization")
                return self._ledger.reserve(intent, now_s)
            except (BudgetExceeded, RoomClosed) as refusal:
                self._journal.remove_intent(intent.event_id)
                self.counters.budget_refusals += isinstance(refusal, BudgetExceeded)
                return refusal
        return self._ledger.committed(intent.tenant_id, intent.room, now_s)

    def _settle(self, settlement: Settlement, knowledge: Knowledge, now_s: float) -> Spending:
        settled = self._journal.settle(settlement, knowledge=knowledge, booked_at_s=now_s)
        if settled is None:
            # A resend, a worse report than the one booked, or a settlement before its intent.
            self.counters.ignored_settlements += 1
            if self._journal.contradicts(settlement, knowledge):
                self.counters.contradictions += 1
                log.error("cost reported again with other amounts: the first ones stand", event_id=settlement.event_id)
            self._early[settlement.event_id] = settlement
            return Spending()
        self._after_commit.append(partial(self._follow, settlement, knowledge, settled, now_s))
        return self._book(settled, now_s)

    def _book(self, settled: SettledIntent, now_s: float) -> Spending:
        self.counters.corrections += settled.corrected
        return self._ledger.settle(settled, now_s)

    def _follow(self, settlement: Settlement, knowledge: Knowledge, settled: SettledIntent, now_s: float) -> None:
        """Forget the call record of an event whose cost is final; wait for a better report of any other."""
        if self._early:
            self._early.pop(settlement.event_id, None)
        if knowledge >= Knowledge.REPLICA_PARTIAL:
            self._calls.close(settlement.event_id)
            return
        self._calls.watch(
            EstimatedEvent(
                event_id=settlement.event_id,
                outcome=settlement.outcome,
                known=knowledge,
                arrived_at_s=settled.arrived_at_s,
                witnessed=settled.witnessed,
                until_s=now_s + WATCH_S,
            )
        )


def _lifetime_s(intent: Intent) -> float:
    """Return the intent's lifetime within bounds: what another version sends must not keep an intent open for ever."""
    return (
        min(max(intent.lifetime_s, 0.0), LONGEST_LIFETIME_S) if math.isfinite(intent.lifetime_s) else LONGEST_LIFETIME_S
    )
