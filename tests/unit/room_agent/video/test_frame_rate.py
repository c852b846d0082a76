"""Fewer frames are asked for while a screen moves, and all of them as soon as it comes to rest."""

from __future__ import annotations

from room_agent.video.frame_rate import (
    AGAIN_S,
    ALL,
    FAST_INTERVALS,
    REPEATED_LOOKS,
    FrameRateChoice,
    WantedFrames,
)


def observed(
    choice: FrameRateChoice, *frames: int, start_s: float = 0.0, repeated_looks: int = REPEATED_LOOKS
) -> list[WantedFrames | None]:
    return [choice.observe(count, 1.0, start_s + number, repeated_looks) for number, count in enumerate(frames)]


def test_a_moving_screen_is_asked_for_fewer_frames_after_some_seconds() -> None:
    wanted = observed(FrameRateChoice(1.0), *[15] * 5)
    assert wanted == [None] * (FAST_INTERVALS - 1) + [WantedFrames(fps=1), None, None]


def test_a_publisher_that_was_not_seen_to_repeat_a_picture_keeps_all_its_frames() -> None:
    assert observed(FrameRateChoice(1.0), *[15] * 100, repeated_looks=REPEATED_LOOKS - 1) == [None] * 100


def test_a_publisher_that_repeated_a_picture_once_is_known_to_do_so_when_its_screen_moves() -> None:
    choice = FrameRateChoice(1.0)
    observed(choice, 2, repeated_looks=REPEATED_LOOKS)
    assert observed(choice, *[15] * 3, start_s=1.0, repeated_looks=0)[-1] == WantedFrames(fps=1)


def test_a_slow_publisher_keeps_all_its_frames() -> None:
    assert observed(FrameRateChoice(1.0), *[5] * 100) == [None] * 100


def test_a_burst_of_frames_changes_nothing() -> None:
    assert observed(FrameRateChoice(1.0), 15, 15, 1, 15, 15, 0, 15, 15) == [None] * 8


def test_a_screen_that_comes_to_rest_is_asked_for_its_newest_picture_and_all_frames_at_once() -> None:
    choice = FrameRateChoice(1.0)
    observed(choice, *[15] * 3, 4, 4)
    assert observed(choice, 0, 1, 0, start_s=5.0) == [WantedFrames(fps=ALL, key_frame=True), None, None]
    assert observed(choice, *[15] * 3, start_s=8.0)[-1] == WantedFrames(fps=1)


def test_the_frames_of_a_late_interval_count_by_its_length() -> None:
    choice = FrameRateChoice(1.0)
    assert [choice.observe(15, 5.0, 5.0 * number, REPEATED_LOOKS) for number in range(5)] == [None] * 5


def test_a_reduced_rate_is_asked_for_again_in_case_the_server_forgot_it() -> None:
    wanted = observed(FrameRateChoice(1.0), *[15] * 100)
    times_s = [number for number, one in enumerate(wanted) if one is not None]
    assert times_s == [2, 2 + AGAIN_S, 2 + 2 * AGAIN_S, 2 + 3 * AGAIN_S]


def test_a_tenant_with_a_higher_rate_is_sent_as_many_frames() -> None:
    assert observed(FrameRateChoice(2.0), *[30] * 3)[-1] == WantedFrames(fps=2)
