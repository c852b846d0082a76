"""The step after a failed attempt: retry the same target, fall back to the next one, or stop; and the deadline."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from routing.errors import ProviderError, RayroomError, ReplicaLost
from routing.validation import STRICT, Count, Seconds

MIN_ATTEMPT_S = 0.2
"""The least time left in which an attempt at a target without known latencies is worth starting."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock, in seconds, shared by every attempt of a request."""

    at_s: float

    @classmethod
    def after(cls, seconds: float, now_s: float) -> Deadline:
        """Return the deadline `seconds` after `now_s`."""
        return cls(now_s + seconds)

    def remaining_s(self, now_s: float) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.at_s - now_s)

    def allows(self, seconds: float, now_s: float) -> bool:
        """Return whether work that takes `seconds` can still end before the deadline."""
        return self.remaining_s(now_s) >= seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """Tries of a target for one request, and the waits between them."""

    __pydantic_config__ = STRICT

    tries_of_target: Count = 2
    first_wait_s: Seconds = 0.1
    longest_wait_s: Seconds = 2.0
    patience_s: Seconds = 0.5
    """If a vendor asks for a longer wait than this, the request goes to the next target, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """A failed attempt and the state of its request. `median_s` is the target's p50, None if unknown."""

    error: RayroomError
    tries: int
    targets_left: int
    left_s: float
    median_s: float | None = None
    answer_begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStep:
    """The next step and its reason; the caller waits `wait_s` first."""

    kind: Literal["again", "next", "stop"]
    reason: str
    wait_s: float = 0.0


def next_step(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> RetryStep:
    """Return the step after a failed attempt; every step fits in `left_s`."""
    if failed.answer_begun:
        return RetryStep(kind="stop", reason="the answer has begun")
    if not isinstance(failed.error, ProviderError):
        # Our own rejection (no slot, no budget, a bad request) holds for every target, so the caller gets it.
        return RetryStep(kind="stop", reason="not a vendor's failure")
    retry = _retry(failed, settings, rng)
    if retry is not None:
        return retry
    if failed.targets_left == 0:
        return RetryStep(kind="stop", reason="no target is left")
    if failed.left_s < MIN_ATTEMPT_S:
        return RetryStep(kind="stop", reason="no time is left")
    return RetryStep(kind="next", reason=failed.error.code)


def _retry(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> RetryStep | None:
    """Return a retry of the same target, or None if it does not fit in the time left."""
    if not failed.error.retryable or failed.tries >= settings.tries_of_target:
        return None
    wait_s = 0.0 if isinstance(failed.error, ReplicaLost) else _wait_s(failed, settings, rng)
    needed_s = failed.median_s if failed.median_s is not None else MIN_ATTEMPT_S
    if wait_s + max(needed_s, MIN_ATTEMPT_S) > failed.left_s:
        return None
    if failed.targets_left and (failed.error.retry_after_s or 0.0) > settings.patience_s:
        return None
    return RetryStep(kind="again", reason=failed.error.code, wait_s=wait_s)


def _wait_s(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> float:
    """Return a wait with full jitter, no shorter than the vendor's `Retry-After`."""
    longest_s = backoff_s(failed.tries, settings.first_wait_s, settings.longest_wait_s)
    return max(rng.uniform(0.0, longest_s), failed.error.retry_after_s or 0.0)


def backoff_s(failures: int, first_s: float, longest_s: float) -> float:
    """Return the wait after `failures` failures in a row: `first_s`, doubled each time up to `longest_s`. No jitter."""
    # 16 doublings reach any limit in use; more would overflow a float after a thousand failures.
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 16))
