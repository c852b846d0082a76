"""Draw the frames and questions of a scenario's rooms, second by second, as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.lab.scenario.arrivals import Floats, Ints, ScheduledRooms
from cluster.lab.scenario.recorded_screens import RecordedScreens
from cluster.lab.scenario.scenario import RoomBehaviour

PERIODS_AHEAD = 64
"""The number of periods for which the possibly open rooms are selected at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadPeriod:
    """The activity of all rooms between two frames of one room. Times are ordered."""

    from_s: float
    to_s: float
    open_rooms: int
    joined: int
    seen_by_tenant: Ints
    """Frames that were due."""
    kept_at_s: Floats
    kept_rooms: Ints
    """The rooms of the kept frames."""
    question_at_s: Floats
    question_rooms: Ints
    """The rooms of the questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _RoomColumns:
    """The rooms that may be open in the next periods, in the order of their phase."""

    room: Ints
    phase_s: Floats
    first: Ints
    """The period in which each room shows its first frame."""
    leave_at_s: Floats
    row: Ints
    column: Ints
    tenant: Ints
    talking: Ints
    """The rooms that ask questions, as indices of the columns above."""
    by_tenant: Ints

    def part(self, selection: NDArray[np.bool_]) -> _RoomColumns:
        """Return a subset of the rooms."""
        columns = {name: getattr(self, name)[selection] for name in _COLUMNS}
        talks = np.zeros(len(self.room), dtype=np.bool_)
        talks[self.talking] = True
        counts = np.bincount(columns["tenant"], minlength=len(self.by_tenant))
        return _RoomColumns(**columns, talking=np.flatnonzero(talks[selection]), by_tenant=counts)


_COLUMNS = ("room", "phase_s", "first", "leave_at_s", "row", "column", "tenant")


class Workload:
    """Draws the periods of a scenario in order."""

    def __init__(
        self, rooms: ScheduledRooms, behaviour: RoomBehaviour, recordings: RecordedScreens, rng: np.random.Generator
    ) -> None:
        self._behaviour, self._rng, self._samples = behaviour, rng, recordings.samples
        self._kept = recordings.kept.ravel()
        self._period_s = 1 / behaviour.frames_per_second
        phase_s = rooms.join_at_s % self._period_s
        # With rooms ordered by phase, the frames of every period are ordered by time.
        order = np.argsort(phase_s, kind="stable")
        first = np.floor(rooms.join_at_s[order] / self._period_s).astype(np.int64)
        starts = np.rint(rooms.starts_at[order] * recordings.samples_per_second).astype(np.int64)
        self._rooms = _RoomColumns(
            room=order,
            phase_s=phase_s[order],
            first=first,
            leave_at_s=rooms.leave_at_s[order],
            row=rooms.recording[order] * recordings.samples,
            column=(starts - first) % recordings.samples,
            tenant=rooms.tenant[order],
            talking=np.flatnonzero(rooms.talks[order]),
            by_tenant=np.bincount(rooms.tenant),
        )

    def periods(self, length_s: float, lost: NDArray[np.bool_]) -> Iterator[WorkloadPeriod]:
        """Yield the periods one by one; a room marked as `lost` keeps its next frame and loses the mark."""
        candidates = self._rooms
        for number in range(math.ceil(length_s / self._period_s)):
            from_s = number * self._period_s
            if number % PERIODS_AHEAD == 0:
                may_be_open = (self._rooms.first < number + PERIODS_AHEAD) & (self._rooms.leave_at_s > from_s)
                candidates = self._rooms.part(may_be_open)
            yield self._period(number, candidates, from_s, min(from_s + self._period_s, length_s), lost)

    def _period(
        self, number: int, candidates: _RoomColumns, from_s: float, to_s: float, lost: NDArray[np.bool_]
    ) -> WorkloadPeriod:
        due_at_s = from_s + candidates.phase_s
        is_open = (candidates.first <= number) & (due_at_s < np.minimum(candidates.leave_at_s, to_s))
        column = candidates.column + number % self._samples
        column -= self._samples * (column >= self._samples)
        begins = candidates.first == number
        kept = self._kept[candidates.row + column] | begins
        if lost.any():
            kept |= lost[candidates.room]
            lost[candidates.room[is_open]] = False
        kept &= is_open
        kept_indices = np.flatnonzero(kept)
        seen = int(np.count_nonzero(is_open))
        question_at_s, question_rooms = self._questions(candidates, is_open, from_s, to_s)
        all_open = seen == len(is_open)
        return WorkloadPeriod(
            from_s=from_s,
            to_s=to_s,
            open_rooms=seen,
            joined=int(np.count_nonzero(begins & is_open)),
            seen_by_tenant=candidates.by_tenant
            if all_open
            else np.bincount(candidates.tenant[is_open], minlength=len(candidates.by_tenant)),
            kept_at_s=due_at_s[kept_indices],
            kept_rooms=candidates.room[kept_indices],
            question_at_s=question_at_s,
            question_rooms=question_rooms,
        )

    def _questions(
        self, candidates: _RoomColumns, is_open: NDArray[np.bool_], from_s: float, to_s: float
    ) -> tuple[Floats, Ints]:
        """Draw the questions of the rooms that talk: their sum is a Poisson process, like each of them."""
        talking = candidates.talking[is_open[candidates.talking]]
        mean = len(talking) * (to_s - from_s) / self._behaviour.question_every_s
        count = int(self._rng.poisson(mean)) if mean else 0
        at_s = np.sort(self._rng.uniform(from_s, to_s, count))
        return at_s, candidates.room[self._rng.choice(talking, count)] if count else np.empty(0, dtype=np.int64)
