"""A region rests since its last change, and waits since it first differed."""

from __future__ import annotations

import numpy as np

from room_agent.frames.cell_times import CellTimes
from room_agent.frames.regions import Region


def region(*cells: int, count: int | None = None) -> Region:
    indexes = np.array(cells, np.intp)
    size = len(cells) if count is None else count
    return Region(top=0, bottom=1, left=0, right=9, cells=size, weight_luma=0, indexes=indexes)


def test_a_region_rests_since_the_last_change_of_any_cell() -> None:
    times = CellTimes(100)
    assert times.resting_s(region(1, 2), 5.0) == np.inf
    times.changed(np.array([1, 50]), 3.0)
    times.changed(np.array([2]), 4.0)
    assert times.resting_s(region(1, 2), 5.0) == 1.0 and times.resting_s(region(50), 5.0) == 2.0


def test_a_large_region_rests_while_a_tenth_of_it_moves() -> None:
    times, large = CellTimes(1_000), region(*range(1_000))
    times.changed(np.arange(1_000), 0.0)
    times.changed(np.arange(50), 9.0)
    assert times.resting_s(large, 10.0) == 10.0
    times.changed(np.arange(200), 9.0)
    assert times.resting_s(large, 10.0) == 1.0


def test_a_region_waits_since_its_first_difference_until_it_equals_the_kept_picture() -> None:
    times = CellTimes(100)
    times.differ([region(1, 2)], 1.0)
    times.differ([region(2, 3), region(7)], 2.0)
    assert times.waiting_s(region(2, 3), 5.0) == 4.0 and times.waiting_s(region(7), 5.0) == 3.0
    times.differ([], 6.0)
    times.differ([region(2, 3)], 7.0)
    assert times.waiting_s(region(2, 3), 9.0) == 2.0


def test_a_sampled_region_waits_since_its_first_look_whatever_its_sample() -> None:
    times = CellTimes(1_000)
    times.differ([region(1, 5, count=900)], 1.0)
    times.differ([region(2, 6, count=800)], 2.0)
    assert times.waiting_s(region(2, 6, count=800), 4.0) == 3.0
    times.differ([], 5.0)
    times.differ([region(3, 7, count=800)], 6.0)
    assert times.waiting_s(region(3, 7, count=800), 7.0) == 1.0
