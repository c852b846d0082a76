"""Journals speech usage before it is sent to a vendor, so that the usage of a killed job can still be billed.

One file a job, one JSON array a line. Each send waits for the write of its line; the file is synced ten times a second,
outside the sends.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from room_agent.usage.events import MeteredUsage, UsageEvent, split_amount, usage_event
from room_agent.usage.job_file import JobFile, JournaledJob, as_line

SUFFIX = ".jsonl"
SYNC_EVERY_S = 0.1


class UsageJournal:
    """One job's journal, from `create` to `close`. The first failed write is logged; speech goes on without it."""

    def __init__(self, file: JobFile) -> None:
        self._file = file

    @classmethod
    def create(cls, directory: Path, job: JournaledJob) -> UsageJournal:
        """Create a job's journal and hold its lock while the job lives. Raises OSError."""
        return cls(JobFile.create(directory, SUFFIX, "usage journal write failed", "job", asdict(job)))

    @property
    def failed(self) -> int:
        """Return the number of failed writes."""
        return self._file.failed

    def announced(self, socket: int, usage: MeteredUsage, amount: int) -> None:
        """Record that an amount is about to be sent through a socket."""
        service, model, participant = usage
        self._file.write(as_line("will", socket, service, model, amount, *([participant] if participant else [])))

    def sent(self, socket: int) -> None:
        """Record that all announced amounts of a socket have left this process."""
        self._file.write(as_line("sent", socket))

    def sealed(self, event: UsageEvent) -> None:
        """Record that an amount is reported to the router as this event from now on."""
        self._file.write(as_line("event", event.as_json()))

    def taken(self, ids: Sequence[str]) -> None:
        """Record that the router has billed these events."""
        self._file.write(as_line("taken", *ids))

    def settled(self) -> None:
        """Truncate the journal to its header: the router has billed everything."""
        self._file.truncate()

    def close(self, settled: bool) -> None:
        """Close the journal. Unless it is settled, its file is left to the recovery."""
        self._file.close(delete=settled)

    async def keep_synced(self) -> None:
        """Sync the file to disk after writes, at most every `SYNC_EVERY_S`, until cancelled."""
        await self._file.keep_synced(SYNC_EVERY_S)


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
