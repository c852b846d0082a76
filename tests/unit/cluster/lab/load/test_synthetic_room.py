"""The due frames of a synthetic room, its shed frames, and the part of an answer's time beside the vendor."""

from __future__ import annotations

import pytest

from cluster.lab.load.synthetic_room import FrameSchedule, TimedRequest, own_s, question_times


def test_frames_are_due_a_period_apart_however_late_they_are_looked_at() -> None:
    beat = FrameSchedule(2.5)
    assert [beat.next(2.0) for _ in range(4)] == [2.5, 3.0, 3.5, 4.0]


def test_a_room_that_slows_down_has_its_next_frame_due_later() -> None:
    beat = FrameSchedule(0.0)
    assert [beat.next(fps) for fps in (1.0, 0.5, 0.2, 1.0)] == [0.0, 1.0, 3.0, 8.0]


def test_the_vendors_time_is_not_ours_and_everything_else_is() -> None:
    # Due at 10, sent late at 10.2, answered at 11.5, of which the vendor took one second.
    assert own_s(10.0, TimedRequest(started_s=10.2, ended_s=11.5, vendor_s=1.0), None) == pytest.approx(0.5)


def test_of_the_wait_for_the_frame_before_as_much_is_the_vendors_as_of_that_frames_time() -> None:
    before = TimedRequest(started_s=9.0, ended_s=11.0, vendor_s=1.5)
    # Due at 10 it waits a second, three quarters of which are the vendor's; its own answer is the vendor's alone.
    after = TimedRequest(started_s=11.0, ended_s=12.0, vendor_s=1.0)
    assert own_s(10.0, after, before) == pytest.approx(0.25)


def test_a_wait_after_the_frame_before_is_ours() -> None:
    before = TimedRequest(started_s=5.0, ended_s=6.0, vendor_s=1.0)
    assert own_s(10.0, TimedRequest(started_s=10.5, ended_s=10.6), before) == pytest.approx(0.6)


def test_no_time_is_less_than_nothing() -> None:
    assert own_s(10.0, TimedRequest(started_s=10.0, ended_s=11.0, vendor_s=5.0), None) == 0.0


def test_questions_are_drawn_in_advance_and_the_same_for_the_same_room() -> None:
    times = question_times(10.0, 1_010.0, 20.0, (7, 3))
    assert times == question_times(10.0, 1_010.0, 20.0, (7, 3)) != question_times(10.0, 1_010.0, 20.0, (7, 4))
    assert all(10.0 < at_s < 1_010.0 for at_s in times) and 30 < len(times) < 75
