"""The replicas of one deployment: those that start, slower when many do, and those that take requests."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cluster.lab.scenario.arrivals import Floats
from cluster.lab.simulator.assumptions import Assumptions


@dataclass(slots=True)
class Replicas:
    """How many there are. One that is stopped takes no more requests at once, and answers those it has."""

    running: int
    starting_s: Floats = field(default_factory=lambda: np.empty(0))
    """The seconds that each of those that start still needs at full speed."""

    def aim(self, target: int, assumptions: Assumptions, rng: np.random.Generator) -> int:
        """Start or stop as many as the target asks for; returns how many that ran were stopped."""
        missing = target - self.running - len(self.starting_s)
        if missing > 0:
            begun = rng.uniform(assumptions.cold_start_from_s, assumptions.cold_start_to_s, missing)
            self.starting_s = np.concatenate([self.starting_s, begun])
        elif missing < 0:
            # Starting replicas are stopped first, as in Serve.
            spared = min(-missing, len(self.starting_s))
            self.starting_s = self.starting_s[: len(self.starting_s) - spared]
            self.running -= -missing - spared
            return -missing - spared
        return 0

    def move(self, tick_s: float, speed: float) -> None:
        """Let time pass for those that start."""
        if len(self.starting_s):
            self.starting_s = self.starting_s - tick_s * speed
            ready = self.starting_s <= 0
            self.running += int(np.count_nonzero(ready))
            self.starting_s = self.starting_s[~ready]


def start_speed(starting: int, assumptions: Assumptions) -> float:
    """Return how fast each of those that start at the same time gets on."""
    return min(1.0, assumptions.starts_at_once / starting) if starting else 1.0
