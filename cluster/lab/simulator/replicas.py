"""The replicas of one deployment: starting ones, slower when many start, and running ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cluster.lab.scenario.arrivals import Floats
from cluster.lab.simulator.assumptions import Assumptions


@dataclass(slots=True)
class Replicas:
    """The number of replicas. A stopped one takes no further requests and finishes its own."""

    running: int
    starting_s: Floats = field(default_factory=lambda: np.empty(0))
    """The seconds that each starting replica still needs at full speed."""

    def scale_to(self, target: int, assumptions: Assumptions, rng: np.random.Generator) -> int:
        """Start or stop replicas to reach the target; return the number of running ones that were stopped."""
        missing = target - self.running - len(self.starting_s)
        if missing > 0:
            started = rng.uniform(assumptions.cold_start_from_s, assumptions.cold_start_to_s, missing)
            self.starting_s = np.concatenate([self.starting_s, started])
        elif missing < 0:
            # Starting replicas are stopped first, as in Serve.
            cancelled = min(-missing, len(self.starting_s))
            self.starting_s = self.starting_s[: len(self.starting_s) - cancelled]
            self.running -= -missing - cancelled
            return -missing - cancelled
        return 0

    def advance(self, tick_s: float, speed: float) -> None:
        """Advance the starting replicas by one tick."""
        if len(self.starting_s):
            self.starting_s = self.starting_s - tick_s * speed
            ready = self.starting_s <= 0
            self.running += int(np.count_nonzero(ready))
            self.starting_s = self.starting_s[~ready]


def start_speed(starting: int, assumptions: Assumptions) -> float:
    """Return the speed of each of the replicas that start at the same time."""
    return min(1.0, assumptions.starts_at_once / starting) if starting else 1.0
