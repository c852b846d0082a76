"""Draw the faults of a run from its seed: one life of the aggregator after the other, and what happens in each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tests.chaos.fault_points import POINTS, Point

Fault = Literal[
    "router killed",
    "leaf killed",
    "aggregator stopped",
    "router stopped",
    "leaf stopped",
    "disk full",
    "second aggregator",
    "backend away",
    "journal lost",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
COMMITS_PASSED = 30
"""A run commits some 30 to 100 times a second, and seals or sends three times."""
SEALS_PASSED = 2
LIFE_S = (0.6, 1.6)
LONGEST_LIFE_S = 20.0
"""Long enough to reach any point on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of the aggregator: it is killed at its point, or at its end if that point was not reached."""

    point: Point | None
    passages: int
    length_s: float
    faults: tuple[Fault, ...]


def lives(kills: int, seed: int, among: Sequence[Fault] = FAULTS) -> list[Life]:
    """Return a schedule of at least `kills` SIGKILLs: every point and every fault in turn, in a random order."""
    rng = random.Random(seed)
    points: list[Point | None] = []
    faults: list[Fault] = []
    schedule: list[Life] = []
    killed = 0
    while killed < kills:
        points = points or rng.sample([*POINTS, None, None], len(POINTS) + 2)
        faults = faults or rng.sample(among, len(among))
        chosen = (faults.pop(),) if len(schedule) % 2 else ()
        # A life that ends with the loss of its journal would not reach a point.
        point = None if "journal lost" in chosen else points.pop()
        length_s = LONGEST_LIFE_S if point else rng.uniform(*LIFE_S)
        schedule.append(Life(point=point, passages=_passages(point, rng), length_s=length_s, faults=chosen))
        killed += 1 + sum(fault.endswith("killed") for fault in chosen)
    return schedule


def _passages(point: Point | None, rng: random.Random) -> int:
    if point in ("before commit", "after commit", "before acknowledgement", "after acknowledgement"):
        return rng.randrange(COMMITS_PASSED)
    return 0 if point in (None, "in replay") else rng.randrange(SEALS_PASSED)
