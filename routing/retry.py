"""The step after a failed attempt: retry the same target, fall back to the next one, or stop; and the deadline."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from routing.errors import (
    ProviderContextTooLong,
    ProviderError,
    ProviderMisconfigured,
    ProviderRefused,
    ProviderTimeout,
    RayroomError,
    ReplicaLost,
    ThinkingExhausted,
)
from routing.validation import STRICT, Count, Seconds

MIN_ATTEMPT_S = 0.2
"""The least time left in which an attempt at a target without known latencies is worth starting."""
_REQUEST_STATUSES = (None, 400, 413, 415, 422)
_MODEL_CODES = frozenset({"unsupported_parameter", "unsupported_value"})

RefusalCause = Literal["request", "model", "configuration"]


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
    streamed: bool = False
    may_grow: bool = False
    """Whether the target may be given more output tokens than it had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStep:
    """The next step and its reason; the caller waits `wait_s` first."""

    kind: Literal["again", "next", "stop"]
    reason: str
    wait_s: float = 0.0
    more_room: bool = False
    """Whether the target gets more output tokens this time."""


def refusal_cause(error: ProviderRefused) -> RefusalCause:
    """Return the cause of a vendor's refusal.

    "request"        the request is wrong for any vendor: the caller gets the refusal, and no other target is tried
    "model"          the model does not take an option or the length, by the vendor's code: another one may take it
    "configuration"  the address or the model's name is wrong there (404, a redirect): our fault, not the caller's

    Only OpenAI's codes are that specific. Anthropic and Gemini have one code for every wrong request, so that a request
    that is too long is known by their sentence.
    """
    if isinstance(error, ProviderMisconfigured) or error.facts.get("vendor_status") not in _REQUEST_STATUSES:
        return "configuration"
    too_long = isinstance(error, ProviderContextTooLong)
    return "model" if too_long or error.facts.get("vendor_code") in _MODEL_CODES else "request"


def next_step(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> RetryStep:
    """Return the step after a failed attempt; every step fits in `left_s`."""
    if failed.answer_begun:
        return RetryStep(kind="stop", reason="the answer has begun")
    if not isinstance(failed.error, ProviderError):
        # Our own rejection (no slot, no budget, a bad request) holds for every target, so the caller gets it.
        return RetryStep(kind="stop", reason="not a vendor's failure")
    if isinstance(failed.error, ProviderRefused) and refusal_cause(failed.error) == "request":
        return RetryStep(kind="stop", reason="the request is refused")
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
    if isinstance(failed.error, ThinkingExhausted):
        return _with_more_room(failed)
    if _first_token_late(failed) and failed.targets_left:
        return None
    if not failed.error.retryable or failed.tries >= settings.tries_of_target:
        return None
    wait_s = 0.0 if isinstance(failed.error, ReplicaLost) else _wait_s(failed, settings, rng)
    needed_s = failed.median_s if failed.median_s is not None else MIN_ATTEMPT_S
    if wait_s + max(needed_s, MIN_ATTEMPT_S) > failed.left_s:
        return None
    if failed.targets_left and (failed.error.retry_after_s or 0.0) > settings.patience_s:
        return None
    return RetryStep(kind="again", reason=failed.error.code, wait_s=wait_s)


def _with_more_room(failed: FailedAttempt) -> RetryStep | None:
    """Return a retry that may think longer: the same limit would end the same way."""
    needed_s = max(failed.median_s or 0.0, MIN_ATTEMPT_S)
    if not failed.may_grow or needed_s > failed.left_s:
        return None
    return RetryStep(kind="again", reason=failed.error.code, more_room=True)


def _first_token_late(failed: FailedAttempt) -> bool:
    """Return whether a timer of ours ended a stream before its first token; a vendor's own 408 came in time."""
    return failed.streamed and isinstance(failed.error, ProviderTimeout) and "vendor_status" not in failed.error.facts


def _wait_s(failed: FailedAttempt, settings: RetrySettings, rng: random.Random) -> float:
    """Return a wait with full jitter, no shorter than the vendor's `Retry-After`."""
    longest_s = backoff_s(failed.tries, settings.first_wait_s, settings.longest_wait_s)
    return max(rng.uniform(0.0, longest_s), failed.error.retry_after_s or 0.0)


def backoff_s(failures: int, first_s: float, longest_s: float) -> float:
    """Return the wait after `failures` failures in a row: `first_s`, doubled each time up to `longest_s`. No jitter."""
    # 16 doublings reach any limit in use; more would overflow a float after a thousand failures.
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 16))
