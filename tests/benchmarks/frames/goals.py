"""The goals of the frame benchmark, each printed beside its figure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameGoal:
    """A bound for one figure."""

    sign: Literal[">=", "<="]
    bound: float

    def met_by(self, figure: float) -> bool:
        return figure >= self.bound if self.sign == ">=" else figure <= self.bound


def _least(bound: float) -> FrameGoal:
    return FrameGoal(sign=">=", bound=bound)


def _most(bound: float) -> FrameGoal:
    return FrameGoal(sign="<=", bound=bound)


GOALS: dict[str, FrameGoal] = {
    "pairs: F1 as the gate sends": _least(0.985),
    "pairs: worst changed kind, but for one cell and one figure": _least(0.97),
    "pairs: one cell": _least(0.9),
    "pairs: one figure": _least(0.9),
    "pairs: colour only": _least(0.95),
    "pairs: small edits within 10 s": _least(0.95),
    "pairs: pointer kept out": _least(0.98),
    "pairs: caret kept out": _least(0.98),
    "pairs: clock kept out": _least(0.98),
    "pairs: codec noise kept out": _least(0.98),
    "sessions: share of looks sent": _most(0.14),
    "sessions: states of 3 s seen": _least(0.98),
    "sessions: median seconds until seen": _most(2.0),
    "sessions: worst seconds until seen": _most(5.0),
    "sessions: saved against every frame to the strong model": _least(0.975),
    "sessions: saved against every frame routed": _least(0.90),
    "sessions: median ms of a repeat": _most(1.2),
    "sessions: times faster than convert + ImageHash": _least(30.0),
    "reuse: share of requests saved": _least(0.20),
    "reuse: wrongly reused": _most(0.0),
    "motion: most frames an hour of any kind": _most(240.0),
    "motion: median seconds of a line beside it": _most(3.0),
    "motion: worst seconds of a line beside it": _most(8.0),
    "cameras: most frames a minute": _most(4.0),
    "odd sizes: right": _least(1.0),
    "reading: least word recall of edits at any size": _least(0.95),
    "reading: word recall of new scenes": _least(0.95),
    "reading: most tokens a frame, as a share of today's": _most(1.0),
}


def lines(figures: dict[str, float]) -> list[str]:
    """Return a line for each figure that was measured: whether it meets its goal, its value and the goal."""
    return [
        f"{'ok    ' if goal.met_by(figures[name]) else 'MISSED'} {name}: {figures[name]:.3f} {goal.sign} {goal.bound:g}"
        for name, goal in GOALS.items()
        if name in figures
    ]


def missed(figures: dict[str, float]) -> list[str]:
    """Return the names of the figures that miss their goals; a figure that is no number does."""
    return [
        name
        for name, goal in GOALS.items()
        if name in figures and (math.isnan(figures[name]) or not goal.met_by(figures[name]))
    ]
