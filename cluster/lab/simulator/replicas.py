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

    def aim(self, target: int, assumptions: Assumptions, rng: np.random.Generator) -> int:
        """Start or stop replicas to reach the target; return how many running ones were stopped."""
        missing = target - self.running - len(self.starting_s)
        if missing > 0:
            begun = rng.uniform(assumptions.cold_start_from_s, assumptions.cold_start_to_s, missing)
            self.starting_s = np.concatenate([self.starting_s, begun])
        elif missing < 0:
            # Replicas that do not serve yet stop first, as in Serve.
            spared = min(-missing, len(self.starting_s))
            self.starting_s = self.starting_s[: len(self.starting_s) - spared]
            self.running -= -missing - spared
            return -missing - spared
        return 0

    def move(self, tick_s: float, speed: float) -> None:
        """Advance the starting replicas by some time."""
        if len(self.starting_s):
            self.starting_s = self.starting_s - tick_s * speed
            ready = self.starting_s <= 0
            self.running += int(np.count_nonzero(ready))
            self.starting_s = self.starting_s[~ready]


def start_speed(starting: int, assumptions: Assumptions) -> float:
    """Return the speed of each of the replicas that start at the same time."""
    return min(1.0, assumptions.starts_at_once / starting) if starting else 1.0
