"""Holds the share of requests that go to the strong tier, by moving the threshold. Knows neither texts nor models."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass

from routing.errors import ConfigurationError
from routing.models import Tier

STEP = 0.1
"""How far one decision moves the threshold, in standard deviations of the scores."""
NARROWEST, WIDEST = 0.05, 0.25
MEMORY = 1 / 100
"""How much one decision counts in the running means: they remember about a hundred."""
HURRY = 4.0
"""How many steps more one decision moves it for each whole share that the recent ones are off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareTarget:
    """What is to be held: in no `window` decisions in a row do more than `share` x `burst` of them go strong.

    A burst below one request is one. `threshold` is where it begins.
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
        """Return how many decisions beyond the share may go strong at once."""
        return max(1.0, self.share * (self.burst - 1) * self.window) if self.share else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareVerdict:
    """Where one score goes. `capped` says that it reached the threshold, and that the burst was spent."""

    complex: bool
    threshold: float
    capped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareCounts:
    """What has been decided so far: by score, and by the rules above the score."""

    scored: int
    scored_complex: int
    capped: int
    ruled: dict[tuple[str, Tier], int]

    @property
    def scored_share(self) -> float:
        """Return the share that is held."""
        return self.scored_complex / self.scored if self.scored else 0.0

    @property
    def share(self) -> float:
        """Return the share that is paid for: rules included, which no threshold can hold."""
        by_rule = sum(count for (_, tier), count in self.ruled.items() if tier is Tier.COMPLEX)
        total = self.scored + sum(self.ruled.values())
        return (self.scored_complex + by_rule) / total if total else 0.0


class ShareControl:
    """One service's threshold in one replica. The same scores and the same dice give the same verdicts.

    Requests that a rule decides (an explicit model, a plan, a budget nearly spent) are counted and do not move the
    threshold: a tenant that names the strong model must not take it from the others.
    """

    def __init__(self, target: ShareTarget, rng: random.Random) -> None:
        self.target = target
        self.threshold = target.threshold
        self._rng = rng
        self._spare = target.spare
        self._recent_share = target.share
        self._mean = target.threshold
        self._variance = WIDEST**2
        self._scored = self._complex = self._capped = 0
        self._ruled: Counter[tuple[str, Tier]] = Counter()

    def decide(self, score: float) -> ShareVerdict:
        """Return where `score` goes, and learn from it."""
        # Dice within a step of the threshold: traffic that repeats must not fall in step with the control.
        threshold = self.threshold + self._step() * (self._rng.random() - 0.5)
        wanted = score >= threshold
        self._learn(score, wanted)
        self._spare = min(self._spare + self.target.share, self.target.spare + self.target.share)
        capped = wanted and self._spare < 1.0
        sent = wanted and not capped
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

    def _learn(self, score: float, wanted: bool) -> None:
        # What the cap holds back still counts as wanted here, or the threshold would sink during a burst.
        step = self._step() * (wanted - self.target.share)
        self._recent_share += MEMORY * (wanted - self._recent_share)
        off = score - self._mean
        self._mean += MEMORY * off
        self._variance += MEMORY * (off * off - self._variance)
        self.threshold = min(max(self.threshold + step, -WIDEST), 1.0 + WIDEST)

    def _step(self) -> float:
        spread = min(max(math.sqrt(self._variance), NARROWEST), WIDEST)
        off = abs(self._recent_share - self.target.share) / max(self.target.share, MEMORY)
        return STEP * spread * (1 + HURRY * min(off, 1.0))
