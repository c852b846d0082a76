"""Store every cost event on disk before it is acknowledged: the writer of the cost journal.

The interface of the other parts of the bill, all on the journal's thread and inside `transaction()` unless stated:

- `add_intent(intent, arrived_at_s, expires_at_s)`: False for a resend. `remove_intent` undoes it before the commit.
- `settle(settlement, knowledge, booked_at_s)`: settles an open event; replaces the figures of an unsealed one whose
  knowledge is less; adds a signed correction event for a sealed one whose knowledge is less; else returns None.
- `correct(correction, booked_at_s)`: adds a signed correction by hand, such as a refund; None if it is a repetition.
- `expired(now_s, limit)`: the open intents past their expiry, for the caller to weigh and settle.
- `fill_windows()` until it returns fewer events than a slice, then `close_windows()` likewise: one round of sealing.
  Events of another quarter of an hour need another round; `unsealed_events` is the number that is left.
  Each call is a transaction of its own and holds the thread for less than 20 ms; let waiting commits in between.
- `sending`: the state of each window's sending, the flusher's. `ledger`, `last_booked_s`: the state at the start.
- `writable`, `probe()`: whether the last commit reached the disk, and a try of one.
- `reader()`: a connection of its own for another thread: totals, open intents, sums. It never waits for a commit.

Events are booked at `booked_at_s` by the caller's one clock; month and day of an event are those of that time, in UTC.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.costs.journal_reader import JournalReader
from cluster.costs.ledger import Account, Ledger
from cluster.costs.models import Correction, EstimatedEvent, Knowledge, OpenIntent, SettledIntent
from cluster.costs.sending import SendingTable
from cluster.costs.storage import event_queries, running_sums, windows
from cluster.costs.storage.account_table import AccountTable
from cluster.costs.storage.alert_table import AlertTable
from cluster.costs.storage.booking_time import day_of, month_of_day
from cluster.costs.storage.corrections import change_to, correction_row, nth_correction_id
from cluster.costs.storage.journal_file import JournalBusy, JournalFile, JournalUnusable
from cluster.costs.storage.month_files import MonthFiles
from cluster.costs.storage.running_sums import SumChanges
from cluster.costs.storage.schema import EVENT, USAGE
from routing.billing import budgets
from routing.models import FlushRow, Intent, Outcome, Settlement

__all__ = ["Journal", "JournalBusy", "JournalUnusable"]

KEPT_S = 900.0
"""An event stays in the journal for as long after its booking, before it moves to a month file."""
SEARCHED_AFTER_S = KEPT_S / 3
"""An intent that was opened longer ago may be a resend of an event that is in a month file already."""


class Journal:
    """The one writer of a cost journal: a SQLite file in WAL mode, synced on every commit.

    Raises JournalBusy while another process holds it, and JournalUnusable for a file that could not keep the bill.
    Not thread-safe: call it from one thread at a time.
    """

    def __init__(self, path: Path, shards: int = 1) -> None:
        """`shards` is written into a new file: the number of shards of which this journal is one."""
        self._file = JournalFile(path)
        self.path = self._file.path
        self.epoch = str(uuid.uuid4())
        """Drawn and synced at each opening, so that two histories of a restored journal never share a flush id."""
        try:
            self._db = self._file.connect(str(uuid.uuid4()), self.epoch, shards)
        except BaseException:
            self._file.release()
            raise
        row = self._db.execute("SELECT journal_id, sealed_event, moved_event FROM journal").fetchone()
        self.journal_id: str = row[0]
        self._sealed_event: int = row[1]
        (newest,) = self._db.execute("SELECT coalesce(max(event), 0) FROM settled").fetchone()
        self._last_event: int = max(newest, row[1], row[2])
        self._months = MonthFiles(self.path)
        self.sending = SendingTable(self._db, self.journal_id, self.epoch)
        self.accounts = AccountTable(self._db)
        self.alerts = AlertTable(self._db)
        self._sums = SumChanges()
        self.writable = True
        """Whether the last commit reached the disk."""

    def close(self) -> None:
        """Merge the write-ahead log into the file, close it and release the lock."""
        self._months.close()
        (busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._db.close()
        if not busy:
            self._file.closed_cleanly()
        self._file.release()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the block as one, or none of them when it raises."""
        self._sums = SumChanges()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._sums.write(self._db)
            self._db.execute("COMMIT")
        except BaseException as error:
            # A full disk is an OperationalError, a damaged page the base class itself, a wrong entry neither.
            if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
                self.writable = False
            # A full disk may have rolled it back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.writable = True

    def probe(self) -> bool:
        """Try a commit, so that `writable` turns true again when a full disk has room; return it. Never raises."""
        try:
            with self.transaction():
                self._db.execute("UPDATE journal SET probed_at_s = unixepoch()")
        except sqlite3.Error:
            return False
        return True

    def add_intent(self, intent: Intent, arrived_at_s: float, expires_at_s: float) -> bool:
        """Insert an intent; return False when its event id is present already, open or settled.

        The month files are searched only for an intent that was opened long ago by its sender's clock: younger events
        have not been moved to one.
        """
        if abs(arrived_at_s - intent.opened_at_s) > SEARCHED_AFTER_S and self._months.find(intent.event_id):
            return False
        values = (*event_queries.intent_values(intent), arrived_at_s, expires_at_s)
        if self._db.execute(event_queries.ADD_INTENT, (intent.event_id, *values)).rowcount != 1:
            return False
        self._sums.reserve(intent.tenant_id, intent.estimate_nanousd, 1)
        return True

    def remove_intent(self, event_id: str) -> None:
        """Delete an intent that was added in this transaction."""
        for tenant_id, estimate_nanousd in self._db.execute(event_queries.REMOVE_INTENT, (event_id,)).fetchall():
            self._sums.reserve(tenant_id, -estimate_nanousd, -1)

    def settle(self, settlement: Settlement, knowledge: Knowledge, booked_at_s: float) -> SettledIntent | None:
        """Write a settlement. Return None when there is nothing to change.

        There is nothing to change for an intent that was never opened, and for one that is settled by equal or better
        knowledge. Better knowledge replaces the figures until they are sealed, and corrects them by a row of its own
        from then on.
        """
        event, usage = self._last_event + 1, event_queries.usage_values(settlement.usage)
        figures = (settlement.outcome, int(knowledge), 1, int(settlement.estimated), settlement.cost_nanousd, *usage)
        day, month = day_of(booked_at_s), month_of_day(day_of(booked_at_s))
        booked = self._db.execute(event_queries.BOOK, (event, booked_at_s, day, month, *figures, settlement.event_id))
        if booked.rowcount != 1:
            return self._improve(settlement, knowledge, booked_at_s)
        self._last_event = event
        ((tenant_id, *key, estimate, room, arrived_at_s, witnessed),) = self._db.execute(
            event_queries.DELETE_OPEN, (settlement.event_id,)
        ).fetchall()
        self._sums.reserve(tenant_id, -estimate, -1)
        cost_nanousd = settlement.cost_nanousd
        self._sums.book((tenant_id, *key), day, cost_nanousd, 1, int(settlement.estimated))
        return SettledIntent(
            tenant_id=tenant_id,
            released_nanousd=estimate,
            added_nanousd=cost_nanousd,
            room=room,
            booked_at_s=booked_at_s,
            arrived_at_s=arrived_at_s,
            witnessed=bool(witnessed),
        )

    def _improve(self, settlement: Settlement, knowledge: Knowledge, booked_at_s: float) -> SettledIntent | None:
        event = self._find(settlement.event_id)
        if event is None:
            return None
        if event["event"] > self._sealed_event and not event["moved"]:
            return self._replace(event, settlement, knowledge)
        return self._correct_sealed(event, settlement, knowledge, booked_at_s)

    def _replace(self, event: Mapping[str, Any], settlement: Settlement, knowledge: Knowledge) -> SettledIntent | None:
        if knowledge <= event["knowledge"]:
            return None
        figures = (settlement.outcome, int(knowledge), int(settlement.estimated), settlement.cost_nanousd)
        self._db.execute(
            event_queries.REPLACE, (*figures, *event_queries.usage_values(settlement.usage), event["event"])
        )
        added = settlement.cost_nanousd - event["cost_nanousd"]
        return self._book_change(event, event, added, int(settlement.estimated) - event["estimated"])

    def _correct_sealed(
        self, event: Mapping[str, Any], settlement: Settlement, knowledge: Knowledge, booked_at_s: float
    ) -> SettledIntent | None:
        """Add the difference between `settlement` and all that is booked for the event so far."""
        rows = self._with_corrections(event)
        if knowledge <= rows[-1]["knowledge"]:
            return None
        change = {"outcome": settlement.outcome, "knowledge": int(knowledge)} | change_to(settlement, rows)
        return self._add_correction(event, nth_correction_id(event["event_id"], len(rows)), change, booked_at_s)

    def contradicts(self, settlement: Settlement, knowledge: Knowledge) -> bool:
        """Return whether an event is booked by the same knowledge at other amounts, so that this is no mere resend."""
        event = self._find(settlement.event_id)
        if event is None:
            return False
        rows = self._with_corrections(event)
        return bool(knowledge == rows[-1]["knowledge"] and any(change_to(settlement, rows).values()))

    def _with_corrections(self, event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return an event and the corrections that better knowledge made, in order."""
        rows = [event]
        while (row := self._find(nth_correction_id(event["event_id"], len(rows)))) is not None:
            rows.append(row)
        return rows

    def correct(self, correction: Correction, booked_at_s: float) -> SettledIntent | None:
        """Add a signed correction of a settled event; return None for an unknown event and for a repetition."""
        event = self._find(correction.event_id)
        if event is None or self._find(correction.correction_id) is not None:
            return None
        usage = {unit: correction.usage.get(unit, 0) for unit in USAGE}
        change = {"cost_nanousd": correction.cost_nanousd, "estimated": 0, **usage}
        return self._add_correction(event, correction.correction_id, change, booked_at_s)

    def _add_correction(
        self, event: Mapping[str, Any], correction_id: str, change: Mapping[str, Any], booked_at_s: float
    ) -> SettledIntent:
        row = correction_row(event, correction_id, change, booked_at_s)
        self._last_event += 1
        self._db.execute(event_queries.INSERT, (self._last_event, *(row[name] for name in EVENT)))
        return self._book_change(event, row, row["cost_nanousd"], row["estimated"])

    def _book_change(
        self, event: Mapping[str, Any], booked: Mapping[str, Any], added_nanousd: int, estimated: int
    ) -> SettledIntent:
        key = (event["tenant_id"], event["service"], event["model"], event["simulated"])
        self._sums.book(key, booked["day"], added_nanousd, 0, estimated)
        return SettledIntent(
            tenant_id=event["tenant_id"],
            released_nanousd=0,
            added_nanousd=added_nanousd,
            room=event["room"],
            booked_at_s=booked["booked_at_s"],
            corrected=booked is not event,
            arrived_at_s=event["arrived_at_s"],
            witnessed=bool(event["witnessed"]),
        )

    def _find(self, event_id: str) -> dict[str, Any] | None:
        row = self._db.execute(event_queries.FIND, (event_id,)).fetchone()
        if row is None:
            return self._months.find(event_id)
        return dict(zip(("event", *EVENT), row, strict=True)) | {"moved": False}

    def expired(self, now_s: float, limit: int = 1_000) -> list[OpenIntent]:
        """Return the open intents past their expiry, the oldest first."""
        rows = self._db.execute(event_queries.EXPIRED, (now_s, limit)).fetchall()
        shares = dict(self._db.execute(event_queries.COST_SHARES)) if rows else {}
        return [
            OpenIntent(
                event_id=event_id,
                tenant_id=tenant_id,
                expected_nanousd=round(estimate_nanousd * shares.get(model, 1.0)),
                arrived_at_s=arrived_at_s,
                witnessed=bool(witnessed),
            )
            for event_id, tenant_id, model, estimate_nanousd, arrived_at_s, witnessed in rows
        ]

    def estimated_events(self, since_s: float, until_s: float) -> list[EstimatedEvent]:
        """Return the events that arrived after `since_s` and that no report of their call has settled."""
        rows = self._db.execute(event_queries.ESTIMATED, (Knowledge.REPLICA_PARTIAL, since_s))
        return [
            EstimatedEvent(
                event_id=event_id,
                outcome=Outcome(outcome),
                known=Knowledge(knowledge),
                arrived_at_s=arrived_at_s,
                witnessed=bool(witnessed),
                until_s=until_s,
            )
            for event_id, outcome, knowledge, arrived_at_s, witnessed in rows
        ]

    @property
    def unsealed_events(self) -> int:
        """Return the number of settled events that are in no window yet; any thread may call it."""
        return self._last_event - self._sealed_event

    def fill_windows(self, limit: int = windows.EVENTS_A_SLICE) -> int:
        """Commit one slice of sealing; return its number of events.

        It is less than `limit` when nothing is left, or when the windows have to be closed before the next events.
        """
        if self._sealed_event >= self._last_event:
            return 0
        with self.transaction():
            events = windows.fill_windows(self._db, self._last_event, limit)
        self._sealed_event += events
        return events

    def close_windows(self, limit: int = windows.WINDOWS_A_SLICE) -> int:
        """Commit the ids of filled windows; return their number, less than `limit` when none is left."""
        with self.transaction():
            return windows.close_windows(self._db, self.epoch, limit)

    def drop_events(self, last_event: int) -> None:
        """Commit the deletion of events that were copied to month files."""
        with self.transaction():
            self._db.execute("DELETE FROM settled WHERE event <= ?", (last_event,))
            self._db.execute("UPDATE journal SET moved_event = ?", (last_event,))

    def drop_windows(self, numbers: Iterable[int]) -> None:
        """Commit the deletion of acknowledged windows that were copied to month files."""
        with self.transaction():
            self._db.executemany("DELETE FROM flushes WHERE window = ?", [(number,) for number in numbers])

    def unsent(self, limit: int) -> tuple[FlushRow, ...]:
        """Return the oldest sealed windows that the backend has neither acknowledged nor refused."""
        return windows.unsent_windows(self._db, self.journal_id, limit)

    def mark_sent(self, flush_ids: Iterable[str], now_s: float) -> None:
        """Record that the backend holds these windows."""
        windows.mark_sent(self._db, flush_ids, now_s)

    def spent_nanousd(self, since_s: float) -> dict[str, int]:
        """Return each tenant's booked costs since the UTC day of `since_s`."""
        return running_sums.spent_nanousd(self._db, day_of(since_s))

    def reserved_nanousd(self) -> dict[str, int]:
        """Return the sum of the estimates of each tenant's open intents."""
        return running_sums.reserved_nanousd(self._db)

    def ledger(self, now_s: float) -> Ledger:
        """Return the accounts as the last commit left them; one of an older version's file, by the running sums."""
        accounts, reserved = self.accounts.load(), self.reserved_nanousd()
        today, month_start_s = budgets.day_of(now_s), budgets.month_start_s(now_s)
        spent, spent_today = self.spent_nanousd(month_start_s), self.spent_nanousd(now_s)
        for name in {*spent, *reserved} - {tenant_id for tenant_id, room in accounts if not room}:
            accounts[name, ""] = Account("", today, spent.get(name, 0), spent_today.get(name, 0), reserved.get(name, 0))
        return Ledger(accounts)

    def last_booked_s(self) -> float:
        """Return the booking time of the newest event; 0 for a new journal. No later event may be booked before it."""
        return running_sums.last_booked_s(self._db)

    def reader(self) -> JournalReader:
        """Return a connection for another thread, which reads the last commit and never waits for the next."""
        return JournalReader(self.path)
