"""The wait for a first token follows the model's own p99 at each effort, and grows where it was too short."""

from __future__ import annotations

import pytest

from deployments.gateway.first_tokens import FirstTokenTimes
from routing.chat import Effort
from routing.latency import FEWEST_FOR_P99, MAX_SAMPLES

LEAST_S, LONGEST_S = 2.0, 9.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def times(clock: Clock) -> FirstTokenTimes:
    return FirstTokenTimes({"a": 4.0}, clock)


def limit_s(times: FirstTokenTimes, model: str = "a", effort: Effort | None = None) -> float:
    return times.timer(model, effort, LEAST_S, LONGEST_S).limit_s


def measure(times: FirstTokenTimes, clock: Clock, seconds: float, count: int, effort: Effort | None = None) -> None:
    for _ in range(count):
        timer = times.timer("a", effort, LEAST_S, LONGEST_S)
        clock.now_s += seconds
        timer.stop()
        timer.stop()


def test_a_model_begins_with_its_published_p99_and_one_without_with_the_longest_wait(times: FirstTokenTimes) -> None:
    assert limit_s(times) == 4.0 and limit_s(times, "b") == LONGEST_S


def test_the_published_p99_is_not_that_of_a_model_which_thinks_first(times: FirstTokenTimes) -> None:
    assert limit_s(times, effort="none") == 4.0 and limit_s(times, effort="low") == LONGEST_S


def test_its_own_latencies_replace_the_published_ones_within_the_bounds(times: FirstTokenTimes, clock: Clock) -> None:
    measure(times, clock, 3.0, FEWEST_FOR_P99)
    assert limit_s(times) == 3.0
    measure(times, clock, 0.4, MAX_SAMPLES)
    assert limit_s(times) == LEAST_S


def test_each_effort_has_latencies_of_its_own(times: FirstTokenTimes, clock: Clock) -> None:
    measure(times, clock, 6.0, FEWEST_FOR_P99, "low")
    assert limit_s(times, effort="low") == 6.0 and limit_s(times) == 4.0


def test_a_limit_that_is_too_short_for_the_model_grows_until_it_holds(times: FirstTokenTimes) -> None:
    times.timer("a", None, LEAST_S, LONGEST_S).expire()
    assert limit_s(times) == 8.0
    times.timer("a", None, LEAST_S, LONGEST_S).expire()
    assert limit_s(times) == LONGEST_S


def test_a_timer_that_stopped_does_not_expire(times: FirstTokenTimes) -> None:
    timer = times.timer("a", None, LEAST_S, LONGEST_S)
    timer.stop()
    timer.expire()
    assert limit_s(times) == 4.0
