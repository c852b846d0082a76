"""Store every cost event on disk before it is acknowledged: the writer of the cost journal.

The interface of the other parts of the bill, all on the journal's thread and inside `transaction()` unless stated:

- `preload(entries)`: reads the events of a batch in two statements, for speed alone.
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

import math
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.costs.journal_reader import JournalReader
from cluster.costs.ledger import Account, Ledger
from cluster.costs.models import Correction, Entry, EstimatedEvent, Knowledge, OpenIntent, SettledIntent
from cluster.costs.sending import SendingTable
from cluster.costs.storage import running_sums, windows
from cluster.costs.storage.account_table import AccountTable
from cluster.costs.storage.alert_table import AlertTable
from cluster.costs.storage.booking_time import day_of
from cluster.costs.storage.corrections import Corrections
from cluster.costs.storage.coverage_table import CoverageTable
from cluster.costs.storage.journal_file import JournalBusy, JournalFile, JournalUnusable
from cluster.costs.storage.month_files import MonthFiles
from cluster.costs.storage.open_events import OpenEvents, open_event
from cluster.costs.storage.running_sums import SumChanges
from cluster.costs.storage.settled_events import SettledEvents
from routing.billing import budgets
from routing.models import Intent, Settlement

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
        row = self._db.execute("SELECT journal_id, sealed_event, moved_event, restored_at_s FROM journal").fetchone()
        self.journal_id: str = row[0]
        (newest,) = self._db.execute("SELECT coalesce(max(event), 0) FROM settled").fetchone()
        self._restored_at_s = float(row[3])
        self._settled = SettledEvents(self._db, last_event=max(newest, row[1], row[2]), sealed_event=row[1])
        self._open = OpenEvents(self._db)
        self._unused = set[str]()
        """The ids that this transaction has looked up, and that no event has."""
        self._months = MonthFiles(self.path)
        self.sending = SendingTable(self._db, self.journal_id, self.epoch)
        self.accounts = AccountTable(self._db)
        self.alerts = AlertTable(self._db)
        self.coverage = CoverageTable(self._db)
        self._sums = SumChanges(self._db)
        self._corrections = Corrections(self._settled, self._months, self._sums, self._restored_at_s)
        self.writable = True
        """Whether the last commit reached the disk."""
        self.committed_at_s = -math.inf
        """When the last commit reached the disk, by the monotonic clock."""

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
        """Commit all changes of the block as one, or none of them when it raises.

        Events that are opened and settled in it are written at its end, many by one statement.
        """
        self._unused.clear()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._open.write()
            self._settled.write()
            self._sums.write()
            self._db.execute("COMMIT")
        except BaseException as error:
            self._open.forget()
            self._settled.forget()
            self._sums.forget()
            # A full disk is an OperationalError, a damaged page the base class itself, a wrong entry neither.
            if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
                self.writable = False
            # A full disk may have rolled it back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.writable = True
        self.committed_at_s = time.monotonic()

    def probe(self) -> bool:
        """Try a commit, so that `writable` turns true again when a full disk has room; return it. Never raises."""
        try:
            with self.transaction():
                self._db.execute("UPDATE journal SET probed_at_s = unixepoch()")
        except sqlite3.Error:
            return False
        return True

    def preload(self, entries: Iterable[Entry]) -> None:
        """Read the events of a batch of entries by two statements, instead of two for each entry."""
        opening = [entry.event_id for entry in entries if isinstance(entry, Intent)]
        self._open.load(entry.event_id for entry in entries)
        if opening:
            present = self._settled.present(opening)
            self._unused.update(one for one in opening if one not in self._open and one not in present)

    def add_intent(self, intent: Intent, arrived_at_s: float, expires_at_s: float) -> bool:
        """Insert an intent; return False when its event id is present already, open or settled.

        The month files are searched only for an intent that was opened long ago by its sender's clock, and for all of
        them soon after a restore: other events have not been moved to one.
        """
        event_id = intent.event_id
        if event_id not in self._unused:
            self.preload((intent,))
        if event_id not in self._unused:
            return False
        self._unused.discard(event_id)
        if self._may_have_moved(intent, arrived_at_s) and self._months.find(event_id):
            return False
        self._open.add(event_id, open_event(intent, arrived_at_s, expires_at_s))
        self._sums.reserve(intent.tenant_id, intent.estimate_nanousd, 1)
        return True

    def _may_have_moved(self, intent: Intent, arrived_at_s: float) -> bool:
        age_s, restored_s = abs(arrived_at_s - intent.opened_at_s), arrived_at_s - self._restored_at_s
        return age_s > SEARCHED_AFTER_S or restored_s < KEPT_S

    def remove_intent(self, event_id: str) -> None:
        """Delete an intent that was added in this transaction."""
        event = self._open.take(event_id)
        if event is not None:
            self._sums.reserve(event.tenant_id, -event.estimate_nanousd, -1)

    def settle(self, settlement: Settlement, knowledge: Knowledge, booked_at_s: float) -> SettledIntent | None:
        """Write a settlement. Return None when there is nothing to change.

        There is nothing to change for an intent that was never opened, and for one that is settled by equal or better
        knowledge. Better knowledge replaces the figures until they are sealed, and corrects them by a row of its own
        from then on.
        """
        opened = self._open.take(settlement.event_id)
        if opened is None:
            return self._corrections.improve(settlement, knowledge, booked_at_s)
        day = self._settled.book(settlement.event_id, opened, settlement, knowledge, booked_at_s)
        self._sums.reserve(opened.tenant_id, -opened.estimate_nanousd, -1)
        key = (opened.tenant_id, opened.service, opened.model, opened.simulated)
        self._sums.book(key, day, settlement.cost_nanousd, 1, int(settlement.estimated))
        return SettledIntent(
            tenant_id=opened.tenant_id,
            released_nanousd=opened.estimate_nanousd,
            added_nanousd=settlement.cost_nanousd,
            room=opened.room,
            booked_at_s=booked_at_s,
            arrived_at_s=opened.arrived_at_s,
            witnessed=bool(opened.witnessed),
        )

    def contradicts(self, settlement: Settlement, knowledge: Knowledge) -> bool:
        """Return whether an event is booked by the same knowledge at other amounts, so that this is no mere resend."""
        return self._corrections.contradicts(settlement, knowledge)

    def correct(self, correction: Correction, booked_at_s: float) -> SettledIntent | None:
        """Add a signed correction of a settled event; return None for an unknown event and for a repetition."""
        return self._corrections.add(correction, booked_at_s)

    def expired(self, now_s: float, limit: int = 1_000) -> list[OpenIntent]:
        """Return the open intents past their expiry, the oldest first."""
        return self._open.expired(now_s, limit)

    def estimated_events(self, since_s: float, until_s: float) -> list[EstimatedEvent]:
        """Return the events that arrived after `since_s` and that no report of their call has settled."""
        return self._settled.estimated(since_s, until_s)

    @property
    def unsealed_events(self) -> int:
        """Return the number of settled events that are in no window yet; any thread may call it."""
        return self._settled.last_event - self._settled.sealed_event

    def fill_windows(self, limit: int = windows.EVENTS_A_SLICE) -> int:
        """Commit one slice of sealing; return its number of events.

        It is less than `limit` when nothing is left, or when the windows have to be closed before the next events.
        """
        if self._settled.sealed_event >= self._settled.last_event:
            return 0
        with self.transaction():
            events = windows.fill_windows(self._db, self._settled.last_event, limit)
        self._settled.sealed_event += events
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

    def spent_nanousd(self, since_s: float) -> dict[str, int]:
        """Return each tenant's booked costs since the UTC day of `since_s`."""
        return running_sums.spent_nanousd(self._db, day_of(since_s))

    def ledger(self, now_s: float) -> Ledger:
        """Return the accounts as the last commit left them, with the estimates of the open events.

        The spend of an older version's file is that of its running sums.
        """
        accounts, today = self.accounts.load(), budgets.day_of(now_s)
        spent, spent_today = self.spent_nanousd(budgets.month_start_s(now_s)), self.spent_nanousd(now_s)
        for name in spent.keys() - {tenant_id for tenant_id, room in accounts if not room}:
            accounts[name, ""] = Account("", today, spent[name], spent_today.get(name, 0))
        for tenant_id, room, estimates_nanousd in self._open.estimates():
            for key in {(tenant_id, ""), (tenant_id, room)}:
                accounts.setdefault(key, Account("", today)).reserved_nanousd += estimates_nanousd
        return Ledger(accounts)

    def last_booked_s(self) -> float:
        """Return the booking time of the newest event; 0 for a new journal. No later event may be booked before it."""
        return running_sums.last_booked_s(self._db)

    def reader(self) -> JournalReader:
        """Return a connection for another thread, which reads the last commit and never waits for the next."""
        return JournalReader(self.path)
