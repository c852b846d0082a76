"""The schedule of a synthetic room's frames, its shed frames, and its response time without the vendor."""

from __future__ import annotations

import pytest

from cluster.lab.load.synthetic_room import FrameSchedule, TimedRequest, own_s, question_times


def test_frames_are_due_one_period_apart() -> None:
    schedule = FrameSchedule(2.5)
    assert [schedule.next(2.0) for _ in range(4)] == [2.5, 3.0, 3.5, 4.0]


def test_a_lower_rate_delays_the_next_frame() -> None:
    schedule = FrameSchedule(0.0)
    assert [schedule.next(fps) for fps in (1.0, 0.5, 0.2, 1.0)] == [0.0, 1.0, 3.0, 8.0]


def test_own_time_is_everything_but_the_vendors_time() -> None:
    # Due at 10, sent late at 10.2, answered at 11.5; the vendor took one second of that.
    assert own_s(10.0, TimedRequest(started_s=10.2, ended_s=11.5, vendor_s=1.0), None) == pytest.approx(0.5)


def test_a_wait_for_the_previous_answer_is_split_by_its_vendor_share() -> None:
    previous = TimedRequest(started_s=9.0, ended_s=11.0, vendor_s=1.5)
    # Due at 10 it waits a second, three quarters of it for the vendor; its own response time is all the vendor's.
    request = TimedRequest(started_s=11.0, ended_s=12.0, vendor_s=1.0)
    assert own_s(10.0, request, previous) == pytest.approx(0.25)


def test_a_wait_after_the_previous_answer_is_own_time() -> None:
    previous = TimedRequest(started_s=5.0, ended_s=6.0, vendor_s=1.0)
    assert own_s(10.0, TimedRequest(started_s=10.5, ended_s=10.6), previous) == pytest.approx(0.6)


def test_own_time_is_never_negative() -> None:
    assert own_s(10.0, TimedRequest(started_s=10.0, ended_s=11.0, vendor_s=5.0), None) == 0.0


def test_question_times_are_deterministic_for_a_room() -> None:
    times = question_times(10.0, 1_010.0, 20.0, (7, 3))
    assert times == question_times(10.0, 1_010.0, 20.0, (7, 3)) != question_times(10.0, 1_010.0, 20.0, (7, 4))
    assert all(10.0 < at_s < 1_010.0 for at_s in times) and 30 < len(times) < 75
