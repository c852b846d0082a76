"""Says how long a model takes, from its published figures. The dice come in as an argument."""

from __future__ import annotations

import math
import random

from deployments.providers.simulated import Profile, load_profiles


class Pace:
    """Draws times from profiles.toml. A `speed` of 2 takes half of them, an infinite one none."""

    def __init__(self, dice: random.Random, speed: float = math.inf) -> None:
        self._dice = dice
        self._speed = speed

    def first_token_s(self, model: str, slowdown: float = 1.0) -> float:
        """Draw how long the first token takes, or the first byte of whatever the model gives."""
        return self._profile(model).first_token_s(self._dice) * slowdown / self._speed

    def next_token_s(self, model: str, slowdown: float = 1.0) -> float:
        """Return the time between two tokens."""
        return slowdown / self._profile(model).tokens_per_s / self._speed

    def _profile(self, model: str) -> Profile:
        profiles = load_profiles()
        return profiles.get(model) or profiles["default"]
