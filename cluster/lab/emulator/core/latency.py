"""Draw model latencies from published figures. The random generator is an argument."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from deployments.common.settings import ProfileChange
from deployments.providers.simulated import Profile, profile_of


class LatencyModel:
    """Draws times from profiles.toml, divided by `speed`; an infinite speed means no latency."""

    def __init__(
        self, rng: random.Random, speed: float = math.inf, profiles: Mapping[str, ProfileChange] | None = None
    ) -> None:
        self._rng = rng
        self._speed = speed
        self._changes = profiles or {}

    def first_token_s(self, model: str, slowdown: float = 1.0) -> float:
        """Draw the time to the first token, or to the first byte of speech, in seconds."""
        return self._profile(model).first_token_s(self._rng) * slowdown / self._speed

    def next_token_s(self, model: str, slowdown: float = 1.0) -> float:
        """Return the time between two tokens."""
        return slowdown / self._profile(model).tokens_per_s / self._speed

    def _profile(self, model: str) -> Profile:
        return profile_of(model, self._changes)
