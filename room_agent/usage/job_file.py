"""Files of JSON lines that outlive a killed job: each is written and locked by one job, and read after its death.

A line is in the page cache when its write returns, so it survives a killed process. A SQLite commit would take twice as
long, and sometimes milliseconds (docs/measurements.md). Against a crash of the machine the file is synced in the
background.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from filelock import FileLock, Timeout

LOCK_SUFFIX = ".lock"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledJob:
    """The job that owns a file, with the fields that opening its room at the router takes."""

    room: str
    job_id: str
    metadata: str = field(repr=False)


class JobFile:
    """One job's file, from `create` to `close`. The first failed write is logged as `failure`; the job goes on."""

    def __init__(self, path: Path, descriptor: int, lock: FileLock, failure: str) -> None:
        self.path = path
        self.failed = 0
        self._descriptor = descriptor
        self._lock = lock
        self._failure = failure
        self._dirty = asyncio.Event()
        self._header_bytes = os.fstat(descriptor).st_size
        self._is_blank = True

    @classmethod
    def create(cls, directory: Path, suffix: str, failure: str, kind: str, *fields: Any) -> JobFile:
        """Create a file whose first line is the kind, the file's name and the fields, and lock it. Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / f"{uuid.uuid4().hex}{suffix}"
        lock = lock_of(path)
        lock.acquire()
        # Named at last: recovery must not read a file without its header.
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
        os.write(descriptor, as_line(kind, path.stem, *fields))
        os.fsync(descriptor)
        temporary.rename(path)
        _sync(directory)
        return cls(path, descriptor, lock, failure)

    def write(self, line: bytes) -> bool:
        """Append a line; return whether that succeeded."""
        self._is_blank = False
        try:
            os.write(self._descriptor, line)
        except OSError as error:
            self._fail(error)
            return False
        self._dirty.set()
        return True

    def truncate(self) -> None:
        """Remove all lines but the first one."""
        if self._is_blank:
            return
        try:
            os.ftruncate(self._descriptor, self._header_bytes)
            self._is_blank = True
        except OSError as error:
            self._fail(error)

    def close(self, delete: bool) -> None:
        """Close the file and release its lock. A file that is not deleted is left to the recovery."""
        if delete:
            self.path.unlink(missing_ok=True)
            lock_path(self.path).unlink(missing_ok=True)
        os.close(self._descriptor)
        self._lock.release()

    async def keep_synced(self, every_s: float) -> None:
        """Sync the file to disk after writes, at most every `every_s` seconds, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await asyncio.to_thread(os.fdatasync, self._descriptor)
            except OSError as error:
                self._fail(error)
            await asyncio.sleep(every_s)

    def _fail(self, error: OSError) -> None:
        self.failed += 1
        if self.failed == 1:
            log.error(self._failure, error=error.strerror)


def as_line(*fields: Any) -> bytes:
    """Return a line of a file: a JSON array."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def lock_path(path: Path) -> Path:
    return path.with_suffix(LOCK_SUFFIX)


def lock_of(path: Path) -> FileLock:
    """Return the lock that a file's living job holds; the system releases it when the process dies."""
    # A file of its own: acquiring it truncates the locked file. Not thread-local: a job may close it elsewhere.
    return FileLock(lock_path(path), timeout=0, mode=0o600, thread_local=False)


@contextmanager
def lock_dead(path: Path) -> Iterator[bool]:
    """Hold a file's lock within the block; yield False where its job lives or another worker has dealt with it."""
    lock = lock_of(path)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        # Another worker may have dealt with it between the listing and the lock.
        yield path.exists()
    finally:
        # Unlinked before the release: a worker that waits for this lock then finds the file gone.
        if not path.exists():
            lock_path(path).unlink(missing_ok=True)
        lock.release()


def _sync(directory: Path) -> None:
    """Sync a directory, so that a new file's name survives a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
