"""A sampler keeps its beat, never bursts, and takes its rate from whoever sees the router struggle."""

from itertools import pairwise

import pytest

from room_agent.video.sampler import SampleClock


def taken(sampler: SampleClock, *times_s: float) -> list[float]:
    return [now_s for now_s in times_s if sampler.due(now_s)]


def frames(start_s: float, end_s: float, fps: float = 30) -> list[float]:
    return [start_s + number / fps for number in range(int((end_s - start_s) * fps))]


def test_the_first_frame_is_taken_at_once():
    assert SampleClock(1).due(1000.0)


def test_thirty_frames_a_second_become_one():
    times_s = taken(SampleClock(1), *frames(0, 60))
    assert len(times_s) == 60


def test_late_frames_do_not_move_the_beat():
    # Each frame comes a seventh of a second after its beat; drift would lose one sample in seven.
    times_s = taken(SampleClock(1), *[0.0, *frames(1 / 7, 100, fps=7)])
    assert len(times_s) == 100
    assert times_s[-1] - times_s[0] == pytest.approx(99, abs=0.2)


def test_a_pause_is_not_made_up_for():
    sampler = SampleClock(1)
    before = taken(sampler, *frames(0, 3))
    after = taken(sampler, *frames(50.9, 54))
    assert len(before) == 3
    assert after[0] == 50.9
    assert min(later - earlier for earlier, later in pairwise(after)) >= 0.99


def test_two_samples_are_never_closer_than_half_a_period():
    sampler = SampleClock(1)
    times_s = taken(sampler, *[number * 0.73 for number in range(500)])
    assert min(later - earlier for earlier, later in pairwise(times_s)) >= 0.5


def test_the_rate_falls_at_run_time():
    sampler = SampleClock(1)
    sampler.due(0.0)
    sampler.fps = 0.2
    assert sampler.next_due_s(1.0) == 5.0
    assert taken(sampler, 1.0, 4.9, 5.0, 9.9, 10.0) == [5.0, 10.0]
    assert sampler.fps == pytest.approx(0.2)


def test_the_rate_rises_at_run_time_without_waiting_for_the_old_period():
    sampler = SampleClock(0.2)
    sampler.due(0.0)
    sampler.fps = 1
    assert taken(sampler, 0.5, 1.0, 1.5, 2.0, 3.0) == [1.0, 2.0, 3.0]


def test_a_sample_that_was_missed_is_due_now():
    sampler = SampleClock(0.5)
    assert sampler.next_due_s(7.0) == 7.0
    sampler.due(7.0)
    assert sampler.next_due_s(7.5) == 9.0
    assert sampler.next_due_s(30.0) == 30.0


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_a_rate_that_is_none_is_refused(fps):
    with pytest.raises(ValueError, match="above 0"):
        SampleClock(fps)
    sampler = SampleClock(1)
    with pytest.raises(ValueError, match="above 0"):
        sampler.fps = fps
