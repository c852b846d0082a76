"""Keep a model replica's call records in files too, which another replica reads when it was killed.

Each replica has a directory, and a lock in it that the kernel releases when its process ends. A replica that gets the
lock of another moves that one's whole directory into its own, in one step: a kill at any moment leaves every record
below one directory, whose next owner finds all of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from cluster.aggregator.messages import BadMessage, unpack_records
from routing.models import CallRecord

log = structlog.get_logger()

FILE_S = 150.0
"""Records of so many seconds share a file."""
MAX_DIRECTORIES = 64
"""The most dead replicas that one replica takes over; the files of further ones wait for another replica."""
_LOCK, _SUFFIX, _LENGTH_BYTES = "lock", ".records", 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedReplicas:
    """The ids of the dead replicas that were taken over, and the last record of each of their calls."""

    replica_ids: tuple[str, ...]
    records: dict[str, CallRecord]


class CallFiles:
    """The files of one replica below `directory`, which all replicas of a node share. Raises OSError in every method.

    `write` belongs to the event loop's thread; `take_over` may run in another one beside it.
    """

    def __init__(self, directory: Path, replica_id: str, kept_s: float, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._own = directory / replica_id
        self._kept_s = kept_s
        self._clock = clock
        self._lock = -1
        self._file = -1
        self._begun_at_s = 0.0
        self._written = 0

    def open(self) -> None:
        """Make the directory. It gets its name once it is locked, so that none takes it for a dead replica's."""
        hidden = self._directory / f".{self._own.name}"
        hidden.mkdir(parents=True, mode=0o700)
        self._lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(self._own)

    def write(self, message: bytes) -> None:
        """Append a message of records."""
        now_s = self._clock()
        if self._file < 0 or now_s - self._begun_at_s > FILE_S:
            self._next_file(now_s)
        data = len(message).to_bytes(_LENGTH_BYTES, "big") + message
        if os.write(self._file, data) != len(data):
            raise OSError(errno.ENOSPC, "a call record was cut")

    def _next_file(self, now_s: float) -> None:
        if self._file >= 0:
            os.close(self._file)
        path = self._own / f"{self._written:06}{_SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._begun_at_s = now_s
        self._written += 1
        for old in self._own.glob(f"*{_SUFFIX}"):
            if now_s - old.stat().st_mtime > self._kept_s:
                old.unlink()

    def take_over(self) -> EndedReplicas:
        """Move the directories of dead replicas below the own one, and return their ids and records."""
        self._remove_old()
        records: dict[str, CallRecord] = {}
        ended: list[str] = []
        for name in [name for name in self._others() if self._take(name)]:
            for directory in [self._own / name, *_directories(self._own / name)]:
                try:
                    records |= {record.event_id: record for record in _records(directory)}
                    ended.append(directory.name)
                except BadMessage:
                    # Another version's: not all that this replica called is known, so it does not count as returned.
                    log.warning("call records of a dead replica unreadable")
                if directory.parent != self._own:
                    directory.rename(self._own / directory.name)
        return EndedReplicas(replica_ids=tuple(ended), records=records)

    def _others(self) -> list[str]:
        free = MAX_DIRECTORIES - len(_directories(self._own))
        return [path.name for path in _directories(self._directory) if path != self._own][: max(0, free)]

    def _take(self, name: str) -> bool:
        """Move one replica's directory below the own one; return whether it was dead, and nobody else was faster."""
        with suppress(FileNotFoundError, BlockingIOError), _locked(self._directory / name / _LOCK):
            (self._directory / name).rename(self._own / name)
            return True
        return False

    def _remove_old(self) -> None:
        """Remove the directories that nothing was written to for `kept_s`: all of their calls are over."""
        for directory in _directories(self._own):
            if self._clock() - _written_at_s(directory) > self._kept_s:
                shutil.rmtree(directory)

    def remove(self) -> None:
        """Remove all files: they no longer hold every record."""
        self.close()
        shutil.rmtree(self._own, ignore_errors=True)

    def close(self) -> None:
        """Leave the files to the next replica."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1


def _directories(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def _written_at_s(directory: Path) -> float:
    return max((path.stat().st_mtime for path in directory.iterdir()), default=0.0)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; raises BlockingIOError while another process does, and FileNotFoundError."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _records(directory: Path) -> Iterator[CallRecord]:
    """Yield the records of a directory in their order; raises BadMessage. A last one that was cut is left out."""
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        with path.open("rb") as file:
            while len(length := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
                size = int.from_bytes(length, "big")
                if len(message := file.read(size)) == size:
                    yield from unpack_records(message)
