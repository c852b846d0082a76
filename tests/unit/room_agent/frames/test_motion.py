"""What changes in every look moves, and only that."""

from __future__ import annotations

import numpy as np

from room_agent.frames.motion import MotionMonitor
from room_agent.frames.regions import Indexes, Region

SHAPE = (270, 480)


def cells(top: int, left: int, rows: int, columns: int) -> Indexes:
    """Return the flat indexes of a box of cells."""
    grid = np.zeros(SHAPE, np.bool_)
    grid[top : top + rows, left : left + columns] = True
    return np.flatnonzero(grid)


def still(monitor: MotionMonitor, changed: Indexes) -> bool:
    return monitor.still is None or bool(monitor.still.ravel()[changed].all())


NOTHING = np.empty(0, np.intp)
VIDEO = cells(40, 200, 90, 160)


def test_a_video_moves_after_four_looks_and_its_box_is_told() -> None:
    monitor = MotionMonitor(SHAPE)
    assert [monitor.observe(VIDEO, ()) for _ in range(5)] == [False, False, False, True, False]
    ((left, top, right, bottom),) = monitor.boxes()
    assert (left, top) == (200 / 480, 40 / 270) and right == 360 / 480 and abs(bottom - 130 / 270) < 0.03


def test_a_line_that_is_typed_beside_a_video_does_not_move() -> None:
    monitor = MotionMonitor(SHAPE)
    line = [cells(60, 100 + 6 * letter, 3, 6) for letter in range(12)]
    for look in range(30):
        typed = line[look - 10] if 10 <= look < 22 else NOTHING
        monitor.observe(np.union1d(VIDEO, typed), ())
    assert still(monitor, np.concatenate(line)) and not still(monitor, VIDEO)


def test_a_line_between_two_videos_does_not_move() -> None:
    monitor = MotionMonitor(SHAPE)
    for _ in range(8):
        monitor.observe(np.union1d(cells(0, 0, 64, 160), cells(0, 320, 64, 160)), ())
    assert len(monitor.regions) == 2 and still(monitor, cells(0, 180, 64, 120))


def test_a_video_that_stops_is_still_after_three_looks() -> None:
    monitor = MotionMonitor(SHAPE)
    for _ in range(8):
        monitor.observe(VIDEO, ())
    assert [bool(monitor.observe(NOTHING, ())) for _ in range(4)] == [False, False, True, False]
    assert monitor.still is None and monitor.regions == ()


def test_a_region_that_changes_every_second_look_moves() -> None:
    monitor = MotionMonitor(SHAPE)
    for look in range(16):
        monitor.observe(VIDEO if look % 2 else NOTHING, ())
    assert not still(monitor, VIDEO)


def test_a_pointer_that_circles_in_one_place_does_not_move() -> None:
    monitor = MotionMonitor(SHAPE)
    pointer = cells(100, 100, 5, 4)
    region = Region(top=100, bottom=105, left=100, right=104, cells=20, weight_luma=0)
    for _ in range(20):
        monitor.observe(pointer, (region,))
    assert monitor.regions == ()


def test_a_small_animation_hides_nothing_but_its_own_tiles() -> None:
    monitor = MotionMonitor(SHAPE)
    for _ in range(8):
        monitor.observe(cells(100, 100, 5, 5), ())
    assert monitor.still is not None and int((~monitor.still).sum()) <= 4 * 64
