"""Journals speech usage before it is sent to a vendor, so that the usage of a killed job can still be billed.

One file a job, one JSON array a line. A line is in the page cache when its write returns, so it survives a killed
process. Each send waits for that write. A SQLite commit would take twice as long, and sometimes milliseconds
(docs/measurements.md). Against a crash of the machine the file is synced ten times a second, outside the sends.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog
from filelock import FileLock

from room_agent.usage.events import MeteredUsage, UsageEvent, split_amount, usage_event

SUFFIX = ".jsonl"
LOCK_SUFFIX = ".lock"
SYNC_EVERY_S = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledJob:
    """The job that owns a journal, with the fields that opening its room at the router takes."""

    room: str
    job_id: str
    metadata: str = field(repr=False)


class UsageJournal:
    """One job's journal, from `create` to `close`. The first failed write is logged; speech goes on without it."""

    def __init__(self, path: Path, file: int, lock: FileLock) -> None:
        self._path = path
        self._file = file
        self._lock = lock
        self._dirty = asyncio.Event()
        self._header_bytes = os.fstat(file).st_size
        self._is_blank = True
        self.failed = 0

    @classmethod
    def create(cls, directory: Path, job: JournaledJob) -> UsageJournal:
        """Create a job's journal and hold its lock while the job lives. Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / f"{uuid.uuid4().hex}{SUFFIX}"
        lock = lock_of(path)
        lock.acquire()
        # Named at last: recovery must not read a journal without its header.
        temporary = path.with_suffix(".new")
        file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
        os.write(file, _line("job", path.stem, asdict(job)))
        os.fsync(file)
        temporary.rename(path)
        _sync(directory)
        return cls(path, file, lock)

    def announced(self, socket: int, usage: MeteredUsage, amount: int) -> None:
        """Record that an amount is about to be sent through a socket."""
        service, model, participant = usage
        self._write(_line("will", socket, service, model, amount, *([participant] if participant else [])))

    def sent(self, socket: int) -> None:
        """Record that all announced amounts of a socket have left this process."""
        self._write(_line("sent", socket))

    def sealed(self, event: UsageEvent) -> None:
        """Record that an amount is reported to the router as this event from now on."""
        self._write(_line("event", event.as_json()))

    def taken(self, ids: Sequence[str]) -> None:
        """Record that the router has billed these events."""
        self._write(_line("taken", *ids))

    def settled(self) -> None:
        """Truncate the journal to its header: the router has billed everything."""
        if self._is_blank:
            return
        try:
            os.ftruncate(self._file, self._header_bytes)
            self._is_blank = True
        except OSError as error:
            self._fail(error)

    def close(self, settled: bool) -> None:
        """Close the journal. Unless it is settled, its file is left to the recovery."""
        if settled:
            self._path.unlink(missing_ok=True)
            lock_path(self._path).unlink(missing_ok=True)
        os.close(self._file)
        self._lock.release()

    async def keep_synced(self) -> None:
        """Sync the file to disk after writes, at most every `SYNC_EVERY_S`, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await asyncio.to_thread(os.fdatasync, self._file)
            except OSError as error:
                self._fail(error)
            await asyncio.sleep(SYNC_EVERY_S)

    def _write(self, line: bytes) -> None:
        self._is_blank = False
        try:
            os.write(self._file, line)
        except OSError as error:
            self._fail(error)
            return
        self._dirty.set()

    def _fail(self, error: OSError) -> None:
        self.failed += 1
        if self.failed == 1:
            log.error("usage journal write failed", error=error.strerror)


@dataclass(slots=True)
class UnbilledUsage:
    """The usage in a journal that is not billed yet."""

    name: str = ""
    job: JournaledJob | None = None
    events: dict[str, UsageEvent] = field(default_factory=dict)
    amounts: Counter[MeteredUsage] = field(default_factory=Counter)
    """By service, model and speaker, the amount that no event reports yet."""
    unconfirmed: dict[int, Counter[MeteredUsage]] = field(default_factory=dict)
    """By socket, the announced amounts without a record of having left the process."""
    invalid_lines: int = 0
    """A full disk or a crash of the machine cuts a line short."""

    def events_at(self, at_s: float) -> list[UsageEvent]:
        """Return all usage as events. Their ids are the same each time a dead job's journal is read."""
        unreported: list[UsageEvent] = []
        for usage, amount in sorted(self.amounts.items()):
            # An amount that the vendor refused after it had left makes the sum negative.
            estimate = max(0, min(amount, sum(amounts[usage] for amounts in self.unconfirmed.values())))
            for amount_part, estimated in ((amount - estimate, False), (estimate, True)):
                for chunk in split_amount(usage[0], amount_part):
                    name = f"{self.name}-rest-{len(unreported)}"
                    unreported.append(usage_event(name, usage, chunk, at_s, estimated))
        return [*self.events.values(), *unreported]

    def apply_line(self, line: bytes) -> None:
        """Apply one line."""
        try:
            self._apply(json.loads(line))
        except (ValueError, TypeError):
            self.invalid_lines += 1

    def _apply(self, fields: list[Any]) -> None:
        match fields:
            case ["job", name, dict(job)]:
                self.name, self.job = str(name), JournaledJob(**job)
            case ["will", int(socket), "stt" | "tts" as service, str(model), int(amount)]:
                self._announced(socket, (service, model, ""), amount)
            case ["will", int(socket), "stt" | "tts" as service, str(model), int(amount), str(participant)]:
                self._announced(socket, (service, model, participant), amount)
            case ["sent", int(socket)]:
                self.unconfirmed.pop(socket, None)
            case ["event", dict(event)]:
                self._event(UsageEvent(**event))
            case ["taken", *ids]:
                for event_id in ids:
                    self.events.pop(event_id, None)
            case _:
                self.invalid_lines += 1

    def _announced(self, socket: int, usage: MeteredUsage, amount: int) -> None:
        self.amounts[usage] += amount
        self.unconfirmed.setdefault(socket, Counter())[usage] += amount

    def _event(self, event: UsageEvent) -> None:
        self.events[event.id] = event
        self.amounts[event.service, event.model, event.participant] -= event.amount


def read_journal(lines: Iterable[bytes]) -> UnbilledUsage:
    """Return the unbilled usage in a journal's lines."""
    unbilled = UnbilledUsage()
    for line in lines:
        unbilled.apply_line(line)
    return unbilled


def lock_path(journal: Path) -> Path:
    return journal.with_suffix(LOCK_SUFFIX)


def lock_of(journal: Path) -> FileLock:
    """Return the lock that a journal's living job holds; the system releases it when the process dies."""
    # A file of its own: acquiring it truncates the locked file. Not thread-local: a job may close it elsewhere.
    return FileLock(lock_path(journal), timeout=0, mode=0o600, thread_local=False)


def _sync(directory: Path) -> None:
    """Sync a directory, so that a new file's name survives a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(*fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
