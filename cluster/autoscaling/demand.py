"""What the rooms of a scenario ask, second by second: frames and questions, as arrays. Knows no replicas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.loadtest.arrivals import Floats, Ints, Rooms
from cluster.loadtest.scenario import RoomBehaviour
from cluster.loadtest.takes import Takes

LOOK_AHEAD = 64
"""For so many periods the rooms that may be open are chosen at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What all rooms do between two frames of one room. Times are ordered."""

    from_s: float
    to_s: float
    open_rooms: int
    joined: int
    seen: Ints
    """The rooms with a frame due, by index."""
    kept_at_s: Floats
    kept: Ints
    """The rooms of the kept frames."""
    asked_at_s: Floats
    asked: Ints
    """The rooms of the questions."""


class Demand:
    """Draws the periods of a scenario in their order."""

    def __init__(self, rooms: Rooms, behaviour: RoomBehaviour, takes: Takes, dice: np.random.Generator) -> None:
        self._behaviour, self._takes, self._dice = behaviour, takes, dice
        self._period_s = 1 / behaviour.frames_per_second
        phase_s = rooms.join_at_s % self._period_s
        # In the order of their phase the frames of every period are in the order of time.
        order = np.argsort(phase_s, kind="stable")
        self._room, self._phase_s = order, phase_s[order]
        self._first = np.floor(rooms.join_at_s[order] / self._period_s).astype(np.int64)
        self._leave_at_s, self._talks = rooms.leave_at_s[order], rooms.talks[order]
        starts = np.rint(rooms.starts_at[order] * takes.samples_per_second).astype(np.int64)
        self._column = (starts - self._first) % takes.samples
        self._row = rooms.take[order] * takes.samples
        self._kept = takes.kept.ravel()

    def periods(self, length_s: float, lost: NDArray[np.bool_]) -> Iterator[Period]:
        """Yield them one by one; a room that is marked as `lost` keeps its next frame, and is marked no more."""
        near = np.empty(0, dtype=np.int64)
        for number in range(math.ceil(length_s / self._period_s)):
            from_s = number * self._period_s
            if number % LOOK_AHEAD == 0:
                near = np.flatnonzero((self._first < number + LOOK_AHEAD) & (self._leave_at_s > from_s))
            yield self._period(number, near, from_s, min(from_s + self._period_s, length_s), lost)

    def _period(self, number: int, near: Ints, from_s: float, to_s: float, lost: NDArray[np.bool_]) -> Period:
        due_at_s, first = from_s + self._phase_s[near], self._first[near]
        is_open = (first <= number) & (due_at_s < np.minimum(self._leave_at_s[near], to_s))
        rooms, due_at_s, first = near[is_open], due_at_s[is_open], first[is_open]
        shown = self._row[rooms] + (self._column[rooms] + number) % self._takes.samples
        seen = self._room[rooms]
        kept = self._kept[shown] | (first == number) | lost[seen]
        lost[seen] = False
        asked_at_s, asked = self._questions(rooms, from_s, to_s)
        return Period(
            from_s=from_s,
            to_s=to_s,
            open_rooms=len(rooms),
            joined=int(np.count_nonzero(first == number)),
            seen=seen,
            kept_at_s=due_at_s[kept],
            kept=seen[kept],
            asked_at_s=asked_at_s,
            asked=asked,
        )

    def _questions(self, rooms: Ints, from_s: float, to_s: float) -> tuple[Floats, Ints]:
        """Draw the questions of the rooms that talk: those of many are a Poisson process, as those of one are."""
        talking = rooms[self._talks[rooms]]
        mean = len(talking) * (to_s - from_s) / self._behaviour.question_every_s
        count = int(self._dice.poisson(mean)) if mean else 0
        at_s = np.sort(self._dice.uniform(from_s, to_s, count))
        return at_s, self._room[self._dice.choice(talking, count)] if count else np.empty(0, dtype=np.int64)
