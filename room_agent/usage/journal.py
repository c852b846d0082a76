"""Writes down what leaves for a speech vendor before it leaves, so that a job that is killed owes nothing unsaid.

One file a job, each line a fact. A line is in the system's memory when its write returns, and a killed process takes
nothing of that with it. The voice waits for it, so it is no SQLite commit, which takes twice as long and sometimes
milliseconds (docs/measurements.md). For the machine's own end the file is synced ten times a second, beside the voice.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from room_agent.usage.events import Service, UsageEvent, pieces, usage_event

SUFFIX = ".jsonl"
SYNC_EVERY_S = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledJob:
    """Whose usage a journal holds: what the router is told when the room is opened."""

    room: str
    job_id: str
    metadata: str = field(repr=False)


class UsageJournal:
    """A job's own, from `create` to `close`. A file that cannot be written is told of once; the voice goes on."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self._dirty = asyncio.Event()
        self._header_bytes = os.fstat(file).st_size
        self._blank = True
        self.failed = 0

    @classmethod
    def create(cls, directory: Path, job: JournaledJob) -> UsageJournal:
        """Begin a job's journal; whoever holds its lock is alive. Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / f"{uuid.uuid4().hex}{SUFFIX}"
        begun = path.with_suffix(".new")
        file = os.open(begun, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(file, _line("job", path.stem, asdict(job)))
        os.fsync(file)
        begun.rename(path)
        _sync(directory)
        return cls(path, file)

    def will(self, socket: int, service: Service, model: str, amount: int) -> None:
        """Write that an amount is about to leave through a socket."""
        self._write(_line("will", socket, service, model, amount))

    def sent(self, socket: int) -> None:
        """Write that all that was to leave through a socket has left this process."""
        self._write(_line("sent", socket))

    def sealed(self, event: UsageEvent) -> None:
        """Write that an amount is told the router from now on as this event."""
        self._write(_line("event", event.as_json()))

    def taken(self, ids: Sequence[str]) -> None:
        self._write(_line("taken", *ids))

    def settled(self) -> None:
        """Forget all that was written: the router has it."""
        if self._blank:
            return
        try:
            os.ftruncate(self._file, self._header_bytes)
            self._blank = True
        except OSError as error:
            self._fail(error)

    def close(self, settled: bool) -> None:
        """End the journal; what is not settled is left to whoever bills the dead."""
        if settled:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    async def keep_synced(self) -> None:
        """Have the disk hold what is written, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await asyncio.to_thread(os.fdatasync, self._file)
            except OSError as error:
                self._fail(error)
            await asyncio.sleep(SYNC_EVERY_S)

    def _write(self, line: bytes) -> None:
        self._blank = False
        try:
            os.write(self._file, line)
        except OSError as error:
            self._fail(error)
            return
        self._dirty.set()

    def _fail(self, error: OSError) -> None:
        self.failed += 1
        if self.failed == 1:
            log.error("usage is not written down; a job that is killed now loses some", error=error.strerror)


@dataclass(slots=True)
class UnbilledUsage:
    """What a journal says is not billed yet."""

    name: str = ""
    job: JournaledJob | None = None
    events: dict[str, UsageEvent] = field(default_factory=dict)
    amounts: Counter[tuple[Service, str]] = field(default_factory=Counter)
    """Of each service's model, what no event tells of yet."""
    doubtful: dict[int, Counter[tuple[Service, str]]] = field(default_factory=dict)
    """By socket, what was about to leave, and is not known to have left."""
    unread: int = 0
    """Lines that are none: a full disk or a machine's end cuts one short."""

    def owed(self, at_s: float) -> list[UsageEvent]:
        """Return all of it as events: the same ones however often a dead job's journal is read."""
        rest: list[UsageEvent] = []
        for (service, model), amount in sorted(self.amounts.items()):
            # What a vendor refused after it had left makes the sum less than none.
            doubt = max(0, min(amount, sum(one[service, model] for one in self.doubtful.values())))
            for part, estimated in ((amount - doubt, False), (doubt, True)):
                for piece in pieces(service, part):
                    name = f"{self.name}-rest-{len(rest)}"
                    rest.append(usage_event(name, service, model, piece, at_s, estimated))
        return [*self.events.values(), *rest]

    def take(self, line: bytes) -> None:
        """Read one more line."""
        try:
            self._take(json.loads(line))
        except (ValueError, TypeError):
            self.unread += 1

    def _take(self, facts: list[Any]) -> None:
        match facts:
            case ["job", name, dict(job)]:
                self.name, self.job = str(name), JournaledJob(**job)
            case ["will", int(socket), "stt" | "tts" as service, str(model), int(amount)]:
                self._will(socket, service, model, amount)
            case ["sent", int(socket)]:
                self.doubtful.pop(socket, None)
            case ["event", dict(event)]:
                self._event(UsageEvent(**event))
            case ["taken", *ids]:
                for one in ids:
                    self.events.pop(one, None)
            case _:
                self.unread += 1

    def _will(self, socket: int, service: Service, model: str, amount: int) -> None:
        self.amounts[service, model] += amount
        self.doubtful.setdefault(socket, Counter())[service, model] += amount

    def _event(self, event: UsageEvent) -> None:
        self.events[event.id] = event
        self.amounts[event.service, event.model] -= event.amount


def left(lines: Iterable[bytes]) -> UnbilledUsage:
    """Return what a journal's lines leave to be billed."""
    found = UnbilledUsage()
    for line in lines:
        found.take(line)
    return found


def _sync(directory: Path) -> None:
    """Have the disk know the directory's files by their names."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _line(*facts: Any) -> bytes:
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"
