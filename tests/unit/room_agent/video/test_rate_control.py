"""A track's sampling rate falls with failures and slow answers, and recovers with good ones."""

from __future__ import annotations

from room_agent.video.rate_control import GOOD_TO_RECOVER, SLOW_ANSWER_S, RateControl


def test_failures_lower_the_rate_step_by_step_but_not_to_zero() -> None:
    rate = RateControl(1.0)
    rates = [rate.fps]
    for _ in range(3):
        rate.refused(0.0)
        rates.append(rate.fps)
    assert rates == [1.0, 0.5, 0.2, 0.2]


def test_good_answers_in_a_row_raise_the_rate_again() -> None:
    rate = RateControl(1.0, step=2)
    for _ in range(GOOD_TO_RECOVER - 1):
        rate.answered(0.5)
    assert rate.fps == 0.2
    rate.answered(0.5)
    assert rate.fps == 0.5
    for _ in range(GOOD_TO_RECOVER):
        rate.answered(0.5)
    assert rate.fps == 1.0


def test_a_failure_restarts_the_count_of_good_answers() -> None:
    rate = RateControl(1.0, step=1)
    for _ in range(GOOD_TO_RECOVER - 1):
        rate.answered(0.5)
    rate.refused(0.0)
    rate.answered(0.5)
    assert rate.fps == 0.2


def test_a_slow_answer_lowers_the_rate() -> None:
    rate = RateControl(1.0)
    rate.answered(SLOW_ANSWER_S + 0.1)
    assert rate.fps == 0.5


def test_a_retry_after_is_respected_and_never_shortened() -> None:
    rate = RateControl(1.0)
    rate.refused(10.0, retry_after_s=5.0)
    rate.refused(11.0, retry_after_s=1.0)
    assert not rate.open(14.9) and rate.open(15.0)


def test_the_first_good_answer_after_an_outage_restores_the_rate_of_before() -> None:
    rate = RateControl(1.0)
    for _ in range(5):
        rate.unanswered()
    assert rate.fps == 0.2
    rate.answered(0.5)
    assert rate.fps == 1.0


def test_an_outage_does_not_undo_the_steps_that_load_has_caused() -> None:
    rate = RateControl(1.0, step=1)
    rate.unanswered()
    rate.answered(0.5)
    assert rate.fps == 0.5
    rate.unanswered()
    rate.refused(0.0)
    rate.answered(0.5)
    assert rate.fps == 0.2


def test_a_slow_answer_after_an_outage_restores_nothing() -> None:
    rate = RateControl(1.0)
    rate.unanswered()
    rate.answered(SLOW_ANSWER_S + 0.1)
    assert rate.fps == 0.2


def test_looks_at_a_still_screen_raise_the_rate_once_one_answer_was_good() -> None:
    rate = RateControl(1.0, step=2)
    for _ in range(100):
        rate.repeated()
    assert rate.fps == 0.2
    rate.answered(0.5)
    for _ in range(2 * GOOD_TO_RECOVER - 1):
        rate.repeated()
    assert rate.fps == 1.0
