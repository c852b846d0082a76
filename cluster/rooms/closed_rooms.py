"""Keep on disk which rooms were closed, so that their tokens stay dead when the aggregator starts again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

LONGEST_TOKEN_S = 691_200.0
"""The longest that a token may be valid after its room was opened: the largest `token_longest_life_s` and a day."""
MAX_LINES = 400_000
"""At the start the file has a line for each closed room; with so many lines it is written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedRoom:
    """A room that a job has closed. The tokens of that job up to `opened_at_s` are dead."""

    room: str
    job_id: str
    opened_at_s: float


class ClosedRoomFile:
    """A file with one line of JSON for each closing. One thread at a time may call it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0

    def read(self, now_s: float) -> list[ClosedRoom]:
        """Return the closings whose tokens may still be valid, the oldest first; remove the others from the file."""
        kept = {(closed.room, closed.job_id): closed for closed in self._closings(now_s)}
        self._write(kept.values())
        return list(kept.values())

    def add(self, closed: ClosedRoom, now_s: float) -> None:
        """Write a closing to disk; raises OSError."""
        if self._lines >= MAX_LINES:
            self.read(now_s)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(closed))
            file.flush()
            os.fsync(file.fileno())
        self._lines += 1

    def _closings(self, now_s: float) -> Iterator[ClosedRoom]:
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                closed = _parsed(line)
                if closed is not None and closed.opened_at_s + LONGEST_TOKEN_S > now_s:
                    yield closed

    def _write(self, closings: Iterable[ClosedRoom]) -> None:
        lines = [_line(closed) for closed in closings]
        draft = self._path.with_name(self._path.name + ".new")
        draft.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._lines = len(lines)


def _line(closed: ClosedRoom) -> str:
    return json.dumps(asdict(closed)) + "\n"


def _parsed(line: str) -> ClosedRoom | None:
    """Return the closing of a line; None for the last one of a process that was killed while it wrote."""
    try:
        fields = json.loads(line)
        return ClosedRoom(room=fields["room"], job_id=fields["job_id"], opened_at_s=float(fields["opened_at_s"]))
    except (ValueError, KeyError, TypeError):
        return None
