"""Says what follows a failed attempt: the same target again, the next one, or an end. Plain values in, a step out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from routing.errors import ProviderError, RayroomError, ReplicaLost
from routing.setting_types import STRICT, Count, Seconds

SHORTEST_ATTEMPT_S = 0.2
"""A target of which nothing is known is given at least so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """How often a target is asked for one request, and how long is waited between."""

    __pydantic_config__ = STRICT

    tries_of_target: Count = 2
    first_wait_s: Seconds = 0.1
    longest_wait_s: Seconds = 2.0
    patience_s: Seconds = 0.5
    """A vendor that asks for a longer wait than this loses the request to the next target, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """One attempt's failure, and where its request stands. `usual_s` is the target's p50, None where unknown."""

    error: RayroomError
    tries: int
    targets_left: int
    left_s: float
    usual_s: float | None = None
    heard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStep:
    """What to do now, and why; `wait_s` comes before it."""

    kind: Literal["again", "next", "stop"]
    reason: str
    wait_s: float = 0.0


def next_step(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> RetryStep:
    """Return what follows a failed attempt; every path ends within `left_s`."""
    if failed.heard:
        return RetryStep(kind="stop", reason="the answer has begun")
    if not isinstance(failed.error, ProviderError):
        # Our own refusal (no room, no budget, a bad request): true for any target, and the caller's to hear.
        return RetryStep(kind="stop", reason="not a vendor's failure")
    again = _again(failed, settings, rng)
    if again is not None:
        return again
    if failed.targets_left == 0:
        return RetryStep(kind="stop", reason="no target is left")
    if failed.left_s < SHORTEST_ATTEMPT_S:
        return RetryStep(kind="stop", reason="no time is left")
    return RetryStep(kind="next", reason=failed.error.code)


def _again(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> RetryStep | None:
    """Return the step back to the same target, or None where it is not worth its time."""
    if not failed.error.retryable or failed.tries >= settings.tries_of_target:
        return None
    wait_s = 0.0 if isinstance(failed.error, ReplicaLost) else _wait_s(failed, settings, rng)
    needed_s = failed.usual_s if failed.usual_s is not None else SHORTEST_ATTEMPT_S
    if wait_s + max(needed_s, SHORTEST_ATTEMPT_S) > failed.left_s:
        return None
    if failed.targets_left and (failed.error.retry_after_s or 0.0) > settings.patience_s:
        return None
    return RetryStep(kind="again", reason=failed.error.code, wait_s=wait_s)


def _wait_s(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> float:
    """Return a wait with full jitter, no shorter than what the vendor asks for."""
    longest_s = backoff_s(failed.tries, settings.first_wait_s, settings.longest_wait_s)
    return max(rng.uniform(0.0, longest_s), failed.error.retry_after_s or 0.0)


def backoff_s(failures: int, first_s: float, longest_s: float) -> float:
    """Return the wait after `failures` failures in a row: `first_s`, doubled each time up to `longest_s`. No jitter."""
    # 16 doublings reach any limit in use; more would overflow a float after a thousand failures.
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 16))
