"""One clock books all costs: it follows the wall clock at the start, and never steps after it."""

from __future__ import annotations

from cluster.costs.booking_clock import BookingClock
from tests.support.manual_clock import ManualClock

NOVEMBER_30_S = 1_796_083_199.0


def test_a_wall_clock_that_jumps_moves_no_booking_time() -> None:
    wall, monotonic = ManualClock(NOVEMBER_30_S), ManualClock(50.0)
    clock = BookingClock(0.0, wall, monotonic)
    for jump_s in (3_600.0, -7_200.0):
        wall.now_s += jump_s
        monotonic.now_s += 1.0
    assert clock() == NOVEMBER_30_S + 2


def test_no_time_lies_before_the_last_booked_one() -> None:
    monotonic = ManualClock(0.0)
    clock = BookingClock(NOVEMBER_30_S + 60, ManualClock(NOVEMBER_30_S), monotonic)
    assert clock() == NOVEMBER_30_S + 60


def test_a_clock_that_is_ahead_runs_at_half_speed_until_the_wall_clock_has_caught_up() -> None:
    monotonic = ManualClock(0.0)
    clock = BookingClock(NOVEMBER_30_S + 60, ManualClock(NOVEMBER_30_S), monotonic)
    times = []
    for monotonic.now_s in (0.0, 60.0, 120.0, 180.0):
        times.append(clock() - NOVEMBER_30_S)
    assert times == [60, 90, 120, 180]
