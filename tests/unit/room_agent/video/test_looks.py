"""A change is settled once it rests, and a figure that counts once all of its digits rest."""

from __future__ import annotations

import numpy as np

from room_agent.frames.regions import Indexes, Region
from room_agent.video.looks import TrackLooks

GRID = (270, 480)
TENS, ONES = 100 * 480 + 50, 100 * 480 + 52


def cells(*indexes: int) -> Indexes:
    return np.array(indexes, np.intp)


def region(*indexes: int) -> Region:
    lefts = [index % 480 for index in indexes]
    left, right = min(lefts), max(lefts) + 1
    return Region(
        top=100, bottom=101, left=left, right=right, cells=len(indexes), weight_luma=900, indexes=cells(*indexes)
    )


def test_one_digit_that_rests_is_not_sent_while_the_next_one_counts() -> None:
    looks, figure, tens = TrackLooks(GRID), region(TENS, ONES), region(TENS)
    looks.times.changed(cells(TENS, ONES), 10.0)
    looks.sent([figure], 10.0)
    looks.times.differ([tens], 18.0)
    looks.times.changed(cells(ONES), 20.0)
    assert not looks.is_settled(tens, [tens], 20.0)
    assert looks.is_settled(tens, [tens], 22.0)


def test_a_digit_that_was_sent_at_rest_waits_for_no_other() -> None:
    looks, tens = TrackLooks(GRID), region(TENS)
    looks.times.changed(cells(TENS, ONES), 5.0)
    looks.sent([region(TENS, ONES)], 10.0)
    looks.times.changed(cells(ONES), 20.0)
    assert looks.is_settled(tens, [tens], 20.0)
