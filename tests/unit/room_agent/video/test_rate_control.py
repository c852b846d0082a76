"""How often a track is looked at: less when the router is in trouble, fully again when it is well."""

from __future__ import annotations

from room_agent.video.rate_control import GOOD_TO_RECOVER, SLOW_ANSWER_S, RateControl


def test_trouble_slows_a_track_down_step_by_step_and_not_to_nothing() -> None:
    pace = RateControl(1.0)
    rates = [pace.fps]
    for _ in range(3):
        pace.refused(0.0)
        rates.append(pace.fps)
    assert rates == [1.0, 0.5, 0.2, 0.2]


def test_some_good_answers_in_a_row_speed_it_up_again() -> None:
    pace = RateControl(1.0, step=2)
    for _ in range(GOOD_TO_RECOVER - 1):
        pace.answered(0.5)
    assert pace.fps == 0.2
    pace.answered(0.5)
    assert pace.fps == 0.5
    for _ in range(GOOD_TO_RECOVER):
        pace.answered(0.5)
    assert pace.fps == 1.0


def test_trouble_in_between_starts_the_count_anew() -> None:
    pace = RateControl(1.0, step=1)
    for _ in range(GOOD_TO_RECOVER - 1):
        pace.answered(0.5)
    pace.refused(0.0)
    pace.answered(0.5)
    assert pace.fps == 0.2


def test_a_slow_answer_is_trouble() -> None:
    pace = RateControl(1.0)
    pace.answered(SLOW_ANSWER_S + 0.1)
    assert pace.fps == 0.5


def test_a_wait_the_router_asked_for_is_kept_and_never_shortened() -> None:
    pace = RateControl(1.0)
    pace.refused(10.0, retry_after_s=5.0)
    pace.refused(11.0, retry_after_s=1.0)
    assert not pace.open(14.9) and pace.open(15.0)
