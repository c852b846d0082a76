"""Spools a meeting's record in a file, so that a killed agent loses nothing and a long meeting takes no memory.

The first line is the header. A line that is an object is an entry, as it is sent; a line that is an array is a note.
"""

from __future__ import annotations

import errno
import json
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from room_agent.usage.job_file import JobFile, JournaledJob, as_line
from routing.records.models import EntryKind, RecordModel

DIRECTORY = "records"
"""Below the directory of the usage journals."""
SUFFIX, PARKED_SUFFIX = ".record", ".parked"
SYNC_EVERY_S = 1.0
MAX_BYTES: dict[EntryKind, int] = {
    "utterance": 6_000_000,
    "description": 4_000_000,
    "answer": 4_000_000,
    "tool_call": 1_000_000,
}
"""The most bytes of each kind of entry, so that none displaces another. Eight hours of speech have one million."""
MAX_WAITING_BYTES = 500_000_000
"""The most bytes of all files of a directory: the usage journals need the same disk, 1 GiB in manifests/."""
NOTE_EVERY = 100
"""The count of the entries that were left out is noted at the first one and then at each so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHeader:
    """The facts about a record that are known when it begins."""

    record_id: str
    """LiveKit's id of the room."""
    started_at_s: float
    joined_at_s: float
    agent_name: str
    retention_days: int | None


class RecordSpool:
    """The file of one agent's record while its room is open."""

    def __init__(self, file: JobFile) -> None:
        self._file = file
        self._bytes = Counter[EntryKind]()
        self.entries = 0
        self.left_out = Counter[EntryKind]()

    @classmethod
    def create(cls, directory: Path, job: JournaledJob, header: RecordHeader) -> RecordSpool:
        """Create the file and lock it while the job lives; raises OSError, also where too many records wait."""
        if sum(map(_size_bytes, spooled_paths(directory))) > MAX_WAITING_BYTES:
            raise OSError(errno.EDQUOT, f"the records that wait take more than {MAX_WAITING_BYTES} bytes")
        failure = "meeting record write failed"
        return cls(JobFile.create(directory / DIRECTORY, SUFFIX, failure, "record", asdict(job), asdict(header)))

    @property
    def path(self) -> Path:
        return self._file.path

    def add(self, kind: EntryKind, entry: RecordModel) -> None:
        """Append an entry; one that does not fit, or cannot be written, is counted as left out."""
        line = entry.model_dump_json(by_alias=True).encode() + b"\n"
        if self._bytes[kind] + len(line) <= MAX_BYTES[kind] and self._file.write(line):
            self._bytes[kind] += len(line)
            self.entries += 1
        else:
            self.leave_out(kind)

    def leave_out(self, kind: EntryKind) -> None:
        """Count an entry that is not in the record."""
        self.left_out[kind] += 1
        if self.left_out[kind] % NOTE_EVERY == 1:
            self._note_left_out()

    def end(self, ended_at_s: float) -> None:
        """Note the end of the record."""
        if self.left_out:
            self._note_left_out()
        self._file.write(as_line("ended", ended_at_s))

    def close(self, delete: bool) -> None:
        """Close the file. Unless it was sent and is deleted, it is left to the recovery."""
        self._file.close(delete)

    async def keep_synced(self) -> None:
        """Sync the file until cancelled: a crash of the machine loses about a second."""
        await self._file.keep_synced(SYNC_EVERY_S)

    def _note_left_out(self) -> None:
        self._file.write(as_line("left_out", dict(self.left_out)))


@dataclass(slots=True)
class SpooledRecord:
    """A record that is read from its file."""

    path: Path
    job: JournaledJob
    header: RecordHeader
    ended_at_s: float
    """Of a killed job, the time of its last entry."""
    has_end: bool = False
    """Whether the end is noted in the file; a killed job cannot do that."""
    entries: list[bytes] = field(default_factory=list, repr=False)
    left_out: dict[str, int] = field(default_factory=dict)
    sent_entries: int = 0
    """The first entries, which the backend has."""
    is_sent: bool = False
    """Whether it has all of them. A record without entries is sent as one part."""
    parked: tuple[float, str] | None = None
    """The UNIX time and the reason of the last refusal."""
    invalid_lines: int = 0
    """A full disk or a crash of the machine cuts a line short."""

    def _apply(self, line: bytes) -> None:
        if line.startswith(b"{"):
            json.loads(line)
            self.entries.append(line.strip())
            return
        match json.loads(line):
            case ["left_out", dict(counts)]:
                self.left_out = counts
            case ["ended", float(at_s)]:
                self.ended_at_s, self.has_end = at_s, True
            case ["sent", int(entries)]:
                self.sent_entries = entries
            case ["parked", float(at_s), str(reason)]:
                self.parked = at_s, reason
            case _:
                self.invalid_lines += 1

    def apply(self, line: bytes) -> None:
        """Apply a line after the first."""
        try:
            self._apply(line)
        except ValueError:
            self.invalid_lines += 1


def read_spool(path: Path) -> SpooledRecord | None:
    """Return the record in a file, or None without a valid header; raises OSError. Blocks for up to 0.2 s."""
    with path.open("rb") as file:
        record = _begun(path, file.readline())
        if record is not None:
            for line in file:
                record.apply(line)
            record.is_sent = 0 < record.sent_entries == len(record.entries)
    return record


def note(path: Path, *fields: Any) -> None:
    """Append a note to the file of a dead job; raises OSError."""
    with path.open("ab") as file:
        file.write(as_line(*fields))


def spooled_paths(directory: Path) -> list[Path]:
    """Return the files of records below the directory of the usage journals, the oldest first."""
    found = [path for suffix in (SUFFIX, PARKED_SUFFIX) for path in (directory / DIRECTORY).glob(f"*{suffix}")]
    return sorted(found, key=_modified_at_s)


def _modified_at_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _known(kind: type[JournaledJob | RecordHeader], written: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that this version knows: a newer worker may have written more."""
    return {field.name: written[field.name] for field in fields(kind) if field.name in written}


def _begun(path: Path, line: bytes) -> SpooledRecord | None:
    try:
        match json.loads(line):
            case ["record", _, dict(job), dict(header)]:
                at_s = path.stat().st_mtime
                job, header = _known(JournaledJob, job), _known(RecordHeader, header)
                return SpooledRecord(path, JournaledJob(**job), RecordHeader(**header), at_s)
    except (ValueError, TypeError):
        pass
    return None
