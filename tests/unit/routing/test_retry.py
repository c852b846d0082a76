"""The steps after a failed attempt, within one deadline."""

from __future__ import annotations

import random

import pytest

from routing.errors import (
    BadInput,
    BudgetExceeded,
    CostsUnavailable,
    Overloaded,
    ProviderAuth,
    ProviderContextTooLong,
    ProviderError,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderQuota,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    RayroomError,
    ReplicaLost,
    ThinkingExhausted,
)
from routing.retry import FailedAttempt, RetrySettings, RetryStep, next_step, refusal_cause

SETTINGS = RetrySettings(tries_of_target=3, first_wait_s=0.1, longest_wait_s=0.3, patience_s=0.5)


def step(error: RayroomError, seed: int = 1, **changes: object) -> RetryStep:
    facts: dict[str, object] = {"tries": 1, "targets_left": 1, "left_s": 10.0} | changes
    return next_step(FailedAttempt(error=error, **facts), SETTINGS, random.Random(seed))  # type: ignore[arg-type]


def test_a_retryable_failure_is_retried_after_a_jittered_bounded_wait() -> None:
    longest = {
        tries: max(step(ProviderOverloaded(), seed, tries=tries).wait_s for seed in range(300)) for tries in (1, 2)
    }
    shortest = min(step(ProviderOverloaded(), seed, tries=2).wait_s for seed in range(300))
    assert 0.09 < longest[1] <= 0.1 < 0.18 < longest[2] <= 0.2 and shortest < 0.02
    assert step(ProviderOverloaded()).kind == "again"


def test_after_the_last_try_of_a_target_the_next_target_is_used() -> None:
    assert step(ProviderOverloaded(), tries=2).kind == "again"
    assert step(ProviderOverloaded(), tries=3) == RetryStep(kind="next", reason="provider_overloaded")


@pytest.mark.parametrize("error", [ProviderQuota(), ProviderAuth(), ProviderError()])
def test_a_permanent_failure_falls_back_immediately(error: RayroomError) -> None:
    assert (step(error).kind, step(error).wait_s) == ("next", 0.0)
    assert step(error, targets_left=0) == RetryStep(kind="stop", reason="no target is left")


@pytest.mark.parametrize("facts", [{}, {"vendor_status": 400}, {"vendor_status": 422, "vendor_code": "invalid_schema"}])
def test_a_request_that_a_vendor_refuses_goes_to_no_other_vendor(facts: dict[str, object]) -> None:
    error = ProviderRefused(**facts)  # type: ignore[arg-type]
    assert step(error) == RetryStep(kind="stop", reason="the request is refused")
    assert refusal_cause(error) == "request"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ProviderRefused(vendor_status=400, vendor_code="unsupported_parameter"), "model"),
        (ProviderRefused(vendor_status=400, vendor_code="unsupported_value"), "model"),
        (ProviderContextTooLong(vendor_status=400), "model"),
        (ProviderMisconfigured(vendor_status=404), "configuration"),
        (ProviderRefused(vendor_status=418), "configuration"),
    ],
)
def test_a_refusal_that_another_model_may_not_repeat_goes_to_the_next_target(
    error: ProviderRefused, cause: str
) -> None:
    assert refusal_cause(error) == cause
    assert step(error).kind == "next" and step(error, targets_left=0).kind == "stop"


def test_an_answer_that_was_thought_only_gets_more_room_once_whatever_the_tries() -> None:
    error = ThinkingExhausted()
    assert step(error, tries=9, may_grow=True) == RetryStep(kind="again", reason=error.code, more_room=True)
    assert step(error, tries=1, may_grow=False) == RetryStep(kind="next", reason=error.code)
    assert step(error, may_grow=True, median_s=3.0, left_s=2.0).kind == "next"


def test_a_late_first_token_goes_to_the_next_target_and_a_whole_answer_that_is_late_is_tried_again() -> None:
    assert step(ProviderTimeout(), streamed=True).kind == "next"
    assert step(ProviderTimeout(), streamed=True, targets_left=0).kind == "again"
    assert step(ProviderTimeout(), streamed=False).kind == "again"
    assert step(ProviderTimeout(vendor_status=408), streamed=True).kind == "again"


@pytest.mark.parametrize("error", [Overloaded(), BudgetExceeded(), CostsUnavailable(), BadInput()])
def test_our_own_rejection_is_returned_without_a_retry(error: RayroomError) -> None:
    assert step(error) == RetryStep(kind="stop", reason="not a vendor's failure")


def test_an_answer_that_has_begun_is_never_retried() -> None:
    assert step(ProviderOverloaded(), answer_begun=True) == RetryStep(kind="stop", reason="the answer has begun")


def test_a_target_slower_than_the_remaining_time_is_skipped() -> None:
    assert step(ProviderOverloaded(), left_s=1.5, median_s=1.2).kind == "again"
    assert step(ProviderOverloaded(), left_s=1.5, median_s=1.6).kind == "next"
    assert step(ProviderOverloaded(), left_s=0.1, median_s=0.05) == RetryStep(kind="stop", reason="no time is left")


def test_a_short_retry_after_is_awaited_and_a_long_one_causes_a_fallback() -> None:
    assert step(ProviderRateLimited(retry_after_s=0.4)) == RetryStep(
        kind="again", reason="provider_rate_limited", wait_s=0.4
    )
    assert step(ProviderRateLimited(retry_after_s=3.0)).kind == "next"


def test_a_long_retry_after_is_awaited_if_it_fits_and_no_target_is_left() -> None:
    assert step(ProviderRateLimited(retry_after_s=3.0), targets_left=0).wait_s == 3.0
    assert step(ProviderRateLimited(retry_after_s=9.9), targets_left=0).kind == "stop"


def test_a_request_of_a_lost_replica_is_retried_without_a_wait() -> None:
    assert step(ReplicaLost()) == RetryStep(kind="again", reason="replica_lost", wait_s=0.0)


@pytest.mark.parametrize("seed", range(50))
def test_every_sequence_of_steps_ends_within_the_deadline(seed: int) -> None:
    """No wait and no attempt begins that cannot end before the deadline."""
    rng, left_s, tries, targets = random.Random(seed), 5.0, 1, 2
    for step_count in range(100):
        retry_after_s = rng.choice((None, 0.2, 2.0))
        error = rng.choice((ProviderOverloaded(retry_after_s=retry_after_s), ReplicaLost(), ProviderQuota()))
        left_s -= rng.uniform(0.0, min(left_s, 1.0))
        next_action = step(error, seed + step_count, tries=tries, targets_left=targets, left_s=left_s, median_s=0.4)
        if next_action.kind == "stop":
            break
        left_s -= next_action.wait_s
        tries, targets = (tries + 1, targets) if next_action.kind == "again" else (1, targets - 1)
        assert left_s >= 0.2
    assert next_action.kind == "stop" and step_count < 9
