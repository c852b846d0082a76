"""Open the journal's file for its one writer, and refuse a file that could not keep the bill."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import psutil

from cluster.costs.storage.month_files import newest_event
from cluster.costs.storage.schema import UnknownFormat, check_version, prepare
from routing.errors import ConfigurationError

SETTING = "costs.journal_path"
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "fuse.")
"""SQLite's write-ahead log needs shared memory, which these do not have, and locks, which they may lose."""
FULLY_CHECKED_BYTES = 64 * 1024 * 1024
"""A larger file would take seconds to read at the start: of it, only the tables without settled events are checked."""
_SMALL_TABLES = ("journal", "epochs", "open_events", "sequences", "totals", "days", "reserved")
PAGE_CACHE_KIB = 64 * 1024


class JournalBusy(ConfigurationError):
    """Another process writes this journal."""

    code = "journal_busy"


class JournalUnusable(ConfigurationError):
    """The journal's file cannot keep the bill."""

    code = "journal_unusable"


class JournalFile:
    """The locked file. Its lock is on the file itself, so that a symlink or a second name of it finds it locked too."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        refuse_network_file_system(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite's own locks end when any descriptor of the file is closed, so this one outlives the connection.
            self._lock = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unusable(self.path, f"it cannot be opened for writing: {error.strerror}") from None
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            os.close(self._lock)
            # SQLite would only say that it cannot open the file.
            raise _unusable(self.path, f"files cannot be made beside it: {self.path.parent} is not writable")
        self._open_mark = self.path.with_name(f"{self.path.name}-open")
        try:
            self._acquire()
            self._refuse_lost_log()
        except BaseException:
            os.close(self._lock)
            raise

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalBusy(
                f"{SETTING} {self.path} is held by another process; one aggregator writes one journal.", SETTING
            ) from None
        except OSError as error:
            raise _unusable(self.path, f"its file system cannot lock it: {error.strerror}") from None

    def _refuse_lost_log(self) -> None:
        """Refuse a file whose last writer ended without closing it, and whose write-ahead log is gone since."""
        try:
            was_open = self._open_mark.read_text("ascii").strip() == str(os.fstat(self._lock).st_ino)
        except (OSError, ValueError):
            return
        log_file = self.path.with_name(f"{self.path.name}-wal")
        if was_open and os.fstat(self._lock).st_size > 0 and not log_file.exists():
            raise _unusable(
                self.path,
                f"its last writer did not close it, and its write-ahead log {log_file.name} is missing, which held the"
                f" newest costs. Put that file back or restore a backup; or delete {self._open_mark.name} to accept"
                " the loss",
            )

    def connect(self, new_journal_id: str, epoch: str, shards: int = 1) -> sqlite3.Connection:
        """Return the writer's connection to a journal of this version, with `epoch` on disk; raises JournalUnusable."""
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256)
        try:
            refuse_corruption(db, self.path)
            check_version(db)
            db.execute("PRAGMA journal_mode = WAL")
            # NORMAL would sync at checkpoints only, and a power cut would lose entries that were acknowledged.
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
            prepare(db, new_journal_id, shards, lambda: newest_event(self.path))
            db.execute("INSERT INTO epochs VALUES (?, unixepoch())", (epoch,))
            self._mark_open()
        except UnknownFormat as error:
            db.close()
            raise _unusable(self.path, str(error)) from None
        except (sqlite3.Error, OSError) as error:
            db.close()
            raise _unusable(self.path, str(error)) from None
        except BaseException:
            db.close()
            raise
        return db

    def _mark_open(self) -> None:
        with self._open_mark.open("w", encoding="ascii") as mark:
            mark.write(str(os.fstat(self._lock).st_ino))
            mark.flush()
            os.fsync(mark.fileno())

    def closed_cleanly(self) -> None:
        """Record that the connection was closed, and its write-ahead log merged into the file."""
        self._open_mark.unlink(missing_ok=True)

    def release(self) -> None:
        """Release the lock, as the end of the process does."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def refuse_network_file_system(path: Path, mounts: Iterable[tuple[str, str]] | None = None) -> None:
    """Raise JournalUnusable if `path` is on a network file system; `mounts` are pairs of a mount point and its type."""
    if mounts is None:
        mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    holding = [(point, kind) for point, kind in mounts if path.is_relative_to(point)]
    _, kind = max(holding, key=lambda mount: len(mount[0]), default=("", ""))
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        raise _unusable(path, f"it is on a network file system ({kind}), which cannot keep two writers apart")


def refuse_corruption(db: sqlite3.Connection, path: Path) -> None:
    """Raise JournalUnusable if pages of the file are damaged."""
    small = path.stat().st_size <= FULLY_CHECKED_BYTES
    present = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    checks = ["quick_check(1)"] if small else [f"quick_check({table})" for table in _SMALL_TABLES if table in present]
    for check in checks:
        (verdict,) = db.execute(f"PRAGMA {check}").fetchone()
        if verdict != "ok":
            raise _unusable(path, f"its pages are damaged ({verdict})")


def _unusable(path: Path, reason: str) -> JournalUnusable:
    return JournalUnusable(f"{SETTING} {path} cannot be used: {reason}.", SETTING)
