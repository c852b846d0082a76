"""Kill this process with SIGKILL when the money path reaches a named point."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from cluster.costs.flusher import CostBackend
from cluster.costs.journal import Journal
from cluster.costs.ledger import Ledger
from cluster.costs.row_answers import RowAnswer, RowStep
from cluster.costs.storage.windows import EVENTS_A_SLICE, WINDOWS_A_SLICE
from routing.models import FlushRow

Point = Literal[
    "before commit",
    "after commit",
    "before acknowledgement",
    "after acknowledgement",
    "in seal",
    "after filling",
    "before backend",
    "after backend",
    "before mark",
    "in replay",
]
POINTS: tuple[Point, ...] = get_args(Point)


class FaultPoint:
    """The one point at which this process dies, after it was passed `passages` times; None for a process that lives."""

    def __init__(self, name: Point | None, passages: int = 0, kill: Callable[[int, int], None] = os.kill) -> None:
        self._name = name
        self._passages = passages
        self._kill = kill

    def reach(self, name: Point) -> None:
        """Kill the process if this is its point, and its passages are used up."""
        if name != self._name:
            return
        self._passages -= 1
        if self._passages < 0:
            self._kill(os.getpid(), signal.SIGKILL)


class FaultyJournal(Journal):
    """The real journal, killed around its commits, inside a seal, and while it reads itself after a start."""

    def __init__(self, path: Path, point: FaultPoint) -> None:
        self._point = point
        self._within: Point = "before commit"
        super().__init__(path)
        self._record = self.sending.record
        self.sending.record = self._record_steps  # type: ignore[method-assign]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        within = self._within
        with super().transaction():
            yield
            self._point.reach(within)
        if within == "before commit":
            self._point.reach("after commit")

    @contextmanager
    def _inside(self, point: Point) -> Iterator[None]:
        self._within = point
        try:
            yield
        finally:
            self._within = "before commit"

    def ledger(self, now_s: float) -> Ledger:
        self._point.reach("in replay")
        return super().ledger(now_s)

    def fill_windows(self, limit: int = EVENTS_A_SLICE) -> int:
        with self._inside("in seal"):
            events = super().fill_windows(limit)
        if events:
            self._point.reach("after filling")
        return events

    def close_windows(self, limit: int = WINDOWS_A_SLICE) -> int:
        with self._inside("in seal"):
            return super().close_windows(limit)

    def _record_steps(self, steps: Sequence[RowStep], now_s: float) -> None:
        self._record(steps, now_s)
        self._point.reach("before mark")

    def set_full(self, full: bool) -> None:
        """Let the file grow no further, as on a full disk; or let it grow again."""
        # SQLite never sets the limit below the present size.
        self._db.execute(f"PRAGMA max_page_count = {1 if full else 2**31}")


class FaultyBackend:
    """The real backend, killed before a call and after the backend took its rows."""

    def __init__(self, backend: CostBackend, point: FaultPoint) -> None:
        self._backend = backend
        self._point = point

    async def track_costs(self, rows: Sequence[FlushRow]) -> Mapping[str, RowAnswer]:
        self._point.reach("before backend")
        answers = await self._backend.track_costs(rows)
        self._point.reach("after backend")
        return answers
