"""Keep the settled events and the acknowledged windows of past times in one SQLite file a month, beside the journal."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import structlog

from cluster.costs.storage.schema import (
    EVENT,
    EVENTS_TABLE,
    FIGURES,
    FLUSH,
    FLUSHES_TABLE,
    VERSION,
    add_usage_columns,
    column_names,
)

MOVED_A_SLICE = 500
OPEN_MONTHS = 3
"""Months, with the current one, whose files stay uncompressed: late resends and settlements are looked up in them."""
_COPY_CHUNK_BYTES = 1 << 20

log = structlog.get_logger()

_EVENTS = ", ".join(("event", *EVENT))
_FLUSHES = ", ".join(("window", *FLUSH))
# Numbers of events and windows repeat after a restored backup, so that in these files only the ids are unique.
_SCHEMA = (
    f"CREATE TABLE events ({EVENTS_TABLE.replace('event INTEGER PRIMARY KEY', 'event INTEGER NOT NULL')})",
    f"CREATE TABLE flushes ({FLUSHES_TABLE.replace('window INTEGER PRIMARY KEY', 'window INTEGER NOT NULL')})",
    f"PRAGMA user_version = {VERSION}",
)
# The newest event stays: its booking time is the one that no later event may precede.
_LAST_MOVABLE = """SELECT max(event) FROM (
    SELECT event, booked_at_s FROM settled
    WHERE event <= (SELECT sealed_event FROM journal) AND event < (SELECT max(event) FROM settled)
    ORDER BY event LIMIT ?) WHERE booked_at_s < ?"""
# A backup may hold an event at the estimate that its lost journal has replaced since.
_COPY_EVENTS = f"""INSERT INTO main.events ({_EVENTS}) SELECT {_EVENTS} FROM hot.settled WHERE event <= ? AND month = ?
    ON CONFLICT (event_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in FIGURES)}
    WHERE excluded.knowledge > events.knowledge"""
_MOVABLE_WINDOWS = "SELECT window, month FROM flushes WHERE sent_at_s < ? ORDER BY window LIMIT ?"
_COPY_WINDOW = f"""INSERT INTO main.flushes ({_FLUSHES}) SELECT {_FLUSHES} FROM hot.flushes WHERE window = ?
    ON CONFLICT (flush_id) DO UPDATE SET sent_at_s = excluded.sent_at_s"""
_NEWEST = "SELECT coalesce(max(event), 0), coalesce(max(booked_at_s), 0) FROM events"
_FIND = f"SELECT {_EVENTS} FROM events WHERE event_id = ?"


class MonthFiles:
    """The month files of one journal. Not thread-safe; each thread uses an object of its own."""

    def __init__(self, journal_path: Path, source: Path | None = None) -> None:
        """`source` is the file whose rows are copied, where it is not in the journal's place yet."""
        self._journal = journal_path.resolve()
        self._source = (source or journal_path).resolve()
        self._readers: dict[Path, sqlite3.Connection] = {}

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def find(self, event_id: str) -> dict[str, Any] | None:
        """Return a settled event that is in an uncompressed month file.

        A damaged file is left out with an error in the log: it must not stop the costs of today.
        """
        paths = [path for path in month_paths(self._journal).values() if path.suffix != ".gz"]
        for path in self._readers.keys() - set(paths):
            self._readers.pop(path).close()
        for path in reversed(paths):
            try:
                if path not in self._readers:
                    self._readers[path] = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
                row = self._readers[path].execute(_FIND, (event_id,)).fetchone()
            except sqlite3.Error as error:
                log.error("month file unreadable", file=path.name, error=str(error))
                continue
            if row is not None:
                return dict(zip(("event", *EVENT), row, strict=True)) | {"moved": True}
        return None

    def copy_events(self, before_s: float, limit: int = MOVED_A_SLICE) -> int | None:
        """Copy the oldest sealed events that were booked before a time; return the last one's number, or None.

        The journal then deletes what was copied. A copy that is repeated after a crash changes nothing.
        """
        with closing(self._read_journal()) as hot:
            (last,) = hot.execute(_LAST_MOVABLE, (limit, before_s)).fetchone()
        if last is None:
            return None
        self.copy_events_until(last)
        return int(last)

    def copy_events_until(self, last: int) -> None:
        """Copy all events up to a number."""
        with closing(self._read_journal()) as hot:
            months = hot.execute("SELECT DISTINCT month FROM settled WHERE event <= ?", (last,)).fetchall()
        for (month,) in months:
            with self._writing(month) as db:
                db.execute(_COPY_EVENTS, (last, month))

    def copy_windows(self, before_s: float, limit: int = MOVED_A_SLICE) -> list[int]:
        """Copy the oldest windows that the backend acknowledged before a time; return their numbers."""
        with closing(self._read_journal()) as hot:
            windows = hot.execute(_MOVABLE_WINDOWS, (before_s, limit)).fetchall()
        for month in {month for _, month in windows}:
            with self._writing(month) as db:
                db.executemany(_COPY_WINDOW, [(window,) for window, of_month in windows if of_month == month])
        return [window for window, _ in windows]

    def compress(self, month_now: int) -> list[Path]:
        """Compress the files of closed months; return the new files."""
        old = [
            path
            for month, path in month_paths(self._journal).items()
            if _months_between(month, month_now) >= OPEN_MONTHS
        ]
        return [self._compress(path) for path in old if path.suffix != ".gz"]

    def _compress(self, path: Path) -> Path:
        packed, unfinished = path.with_name(f"{path.name}.gz"), path.with_name(f"{path.name}.gz.part")
        if reader := self._readers.pop(path, None):
            reader.close()
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            dense = Path(directory) / path.name
            with closing(sqlite3.connect(path)) as db:
                db.execute("VACUUM INTO ?", (str(dense),))
            with dense.open("rb") as source, unfinished.open("wb") as file:
                with gzip.GzipFile(fileobj=file, mode="wb", filename="", compresslevel=6) as target:
                    shutil.copyfileobj(source, target, _COPY_CHUNK_BYTES)
                file.flush()
                os.fsync(file.fileno())
        unfinished.rename(packed)
        _delete(path)
        return packed

    def delete_before(self, month_now: int, retain_months: int) -> list[Path]:
        """Delete the files of months that ended `retain_months` or more ago; return them."""
        old = [
            path
            for month, path in month_paths(self._journal).items()
            if _months_between(month, month_now) > retain_months
        ]
        for path in old:
            _delete(path)
        return old

    @contextmanager
    def _writing(self, month: int) -> Iterator[sqlite3.Connection]:
        """Open a month's file with the journal attached as `hot`; commit at the end of the block."""
        path = month_path(self._journal, month)
        packed = path.with_name(f"{path.name}.gz")
        if packed.exists() and not path.exists():
            _unpack(packed, path)
        if not path.exists():
            _create(path)
        with closing(sqlite3.connect(path.as_uri(), uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            add_usage_columns(db, ("events", "flushes"))
            db.execute("ATTACH ? AS hot", (f"{self._source.as_uri()}?mode=ro",))
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def _read_journal(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._source.as_uri()}?mode=ro", uri=True)


def month_path(journal_path: Path, month: int) -> Path:
    """Return the path of a month's file; a month is a number such as 202611."""
    return journal_path.with_name(f"{journal_path.stem}-{month // 100}-{month % 100:02}{journal_path.suffix}")


def month_paths(journal_path: Path) -> dict[int, Path]:
    """Return the month files beside a journal by month, in order; an uncompressed one before its compressed one."""
    name = re.compile(rf"{re.escape(journal_path.stem)}-(\d{{4}})-(\d\d){re.escape(journal_path.suffix)}(\.gz)?")
    found: dict[int, Path] = {}
    for path in sorted(journal_path.parent.iterdir()):
        if match := name.fullmatch(path.name):
            found.setdefault(int(match[1] + match[2]), path)
    return dict(sorted(found.items()))


@contextmanager
def reading_month(path: Path) -> Iterator[tuple[sqlite3.Connection, set[str]]]:
    """Yield a read-only connection to a month's file and the columns of its events; a compressed one is unpacked."""
    with tempfile.TemporaryDirectory() as directory:
        if path.suffix == ".gz":
            plain = Path(directory) / path.stem
            _unpack(path, plain)
            path = plain
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            yield db, column_names(db, "events")


def newest_event(journal_path: Path) -> tuple[int, float]:
    """Return the highest number and the latest booking time of the events in a journal's month files; 0 without any.

    Raises sqlite3.DatabaseError, which names the file, for one that cannot be read.
    """
    number, booked_at_s = 0, 0.0
    for path in month_paths(journal_path.resolve()).values():
        try:
            with reading_month(path) as (db, _):
                highest, latest_s = db.execute(_NEWEST).fetchone()
        except (sqlite3.Error, OSError, EOFError, zlib.error) as error:
            raise sqlite3.DatabaseError(f"the month file {path.name} beside it is unreadable ({error})") from None
        number, booked_at_s = max(number, highest), max(booked_at_s, latest_s)
    return number, booked_at_s


def _create(path: Path) -> None:
    """Create a month's file. It appears complete, because other threads search every file that is there."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as db:
        for statement in _SCHEMA:
            db.execute(statement)
        db.commit()
        db.execute("PRAGMA journal_mode = WAL")
    unfinished.rename(path)


def _unpack(packed: Path, path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    with gzip.open(packed, "rb") as source, unfinished.open("wb") as target:
        shutil.copyfileobj(source, target, _COPY_CHUNK_BYTES)
        target.flush()
        os.fsync(target.fileno())
    unfinished.rename(path)


def _delete(path: Path) -> None:
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _months_between(first: int, second: int) -> int:
    return (second // 100 - first // 100) * 12 + second % 100 - first % 100
