"""A control loop that holds the share of requests for the complex tier by moving the score threshold."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass

from routing.errors import ConfigurationError
from routing.models import Tier

STEP = 0.1
"""The step of the threshold per decision, in standard deviations of the scores."""
MIN_SPREAD, MAX_SPREAD = 0.05, 0.25
MEAN_WEIGHT = 1 / 100
"""The weight of one decision in the running means, which span about a hundred decisions."""
CATCH_UP = 4.0
"""Extra steps per decision for each whole share by which the recent decisions miss the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareTarget:
    """The target of a ShareControl: of any `window` decisions in a row at most `share` x `burst` are complex.

    The burst is at least one request. `threshold` is the initial threshold.
    Raises ConfigurationError for a number outside of its range.
    """

    service: str
    share: float
    threshold: float = 0.5
    burst: float = 1.5
    window: int = 200

    def __post_init__(self) -> None:
        for name, value in (("share", self.share), ("threshold", self.threshold)):
            if not 0.0 <= value <= 1.0:
                raise ConfigurationError(f"{self.service}.{name}: must be in 0..1 (seen: {value}).", name)
        if not self.burst >= 1.0:
            raise ConfigurationError(f"{self.service}.burst: must be at least 1 (seen: {self.burst}).", "burst")
        if self.window < 1:
            raise ConfigurationError(f"{self.service}.window: must be at least 1 (seen: {self.window}).", "window")

    @property
    def spare(self) -> float:
        """Return the number of decisions beyond the share that may be complex at once."""
        return max(1.0, self.share * (self.burst - 1) * self.window) if self.share else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareVerdict:
    """The decision on one score. `capped` means that it reached the threshold but the burst was spent."""

    complex: bool
    threshold: float
    capped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareCounts:
    """The decisions so far: by score, and by the rules above the score."""

    scored: int
    scored_complex: int
    capped: int
    ruled: dict[tuple[str, Tier], int]

    @property
    def share(self) -> float:
        """Return the complex share of all requests, including those decided by rules, which no threshold controls."""
        by_rule = sum(count for (_, tier), count in self.ruled.items() if tier is Tier.COMPLEX)
        total = self.scored + sum(self.ruled.values())
        return (self.scored_complex + by_rule) / total if total else 0.0


class ShareControl:
    """The threshold of one service in one replica. It is deterministic for the same scores and random generator.

    Requests decided by a rule (an explicit model, a plan, a budget nearly spent) are counted but do not move the
    threshold: a tenant that names the strong model must not take it from the others.
    """

    def __init__(self, target: ShareTarget, rng: random.Random) -> None:
        self.target = target
        self.threshold = target.threshold
        self._rng = rng
        self._spare = target.spare
        self._recent_share = target.share
        self._mean = target.threshold
        self._variance = MAX_SPREAD**2
        self._scored = self._complex = self._capped = 0
        self._ruled: Counter[tuple[str, Tier]] = Counter()

    def decide(self, score: float) -> ShareVerdict:
        """Decide on `score` and update the threshold."""
        # Random noise within one step of the threshold: periodic traffic must not lock in phase with the control.
        threshold = self.threshold + self._step() * (self._rng.random() - 0.5)
        above_threshold = score >= threshold
        self._update(score, above_threshold)
        self._spare = min(self._spare + self.target.share, self.target.spare + self.target.share)
        capped = above_threshold and self._spare < 1.0
        sent = above_threshold and not capped
        self._spare -= sent
        self._scored, self._complex, self._capped = self._scored + 1, self._complex + sent, self._capped + capped
        return ShareVerdict(complex=sent, threshold=threshold, capped=capped)

    def ruled(self, rule: str, tier: Tier) -> None:
        """Count a request that `rule` sent to `tier`; `rule` is one of a few fixed phrases."""
        self._ruled[rule, tier] += 1

    def counts(self) -> ShareCounts:
        return ShareCounts(
            scored=self._scored, scored_complex=self._complex, capped=self._capped, ruled=dict(self._ruled)
        )

    def _update(self, score: float, above_threshold: bool) -> None:
        # A capped decision still counts as wanted here, or the threshold would sink during a burst.
        step = self._step() * (above_threshold - self.target.share)
        self._recent_share += MEAN_WEIGHT * (above_threshold - self._recent_share)
        deviation = score - self._mean
        self._mean += MEAN_WEIGHT * deviation
        self._variance += MEAN_WEIGHT * (deviation * deviation - self._variance)
        self.threshold = min(max(self.threshold + step, -MAX_SPREAD), 1.0 + MAX_SPREAD)

    def _step(self) -> float:
        spread = min(max(math.sqrt(self._variance), MIN_SPREAD), MAX_SPREAD)
        miss = abs(self._recent_share - self.target.share) / max(self.target.share, MEAN_WEIGHT)
        return STEP * spread * (1 + CATCH_UP * min(miss, 1.0))
