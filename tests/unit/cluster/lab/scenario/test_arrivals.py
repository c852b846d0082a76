"""A scenario's rooms are drawn as it says, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.lab.scenario.arrivals import ScheduledRooms, draw_rooms
from cluster.lab.scenario.scenario import Scenario


def drawn(arrivals: dict[str, Any], directory: Path = Path(), **more: Any) -> ScheduledRooms:
    whole = {"name": "one", "length_s": 100, "arrivals": arrivals, **more}
    return draw_rooms(Scenario.model_validate(whole), directory)


def open_at(rooms: ScheduledRooms, t_s: float) -> int:
    return int(np.count_nonzero((rooms.join_at_s <= t_s) & (t_s < rooms.leave_at_s)))


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        ({"kind": "steady", "rooms": 20}, {5: 20, 50: 20, 99: 20}),
        ({"kind": "ramp", "from_rooms": 10, "to_rooms": 50, "from_s": 20, "over_s": 40}, {5: 10, 40: 30, 90: 50}),
        ({"kind": "ramp", "from_rooms": 50, "to_rooms": 10, "from_s": 20, "over_s": 40}, {5: 50, 40: 30, 90: 10}),
        ({"kind": "step", "from_rooms": 5, "to_rooms": 25, "at_s": 50}, {40: 5, 60: 25}),
        (
            {"kind": "burst", "rooms": 5, "burst_rooms": 50, "at_s": 30, "over_s": 10, "lasts_s": 40},
            {20: 5, 60: 55, 95: 5},
        ),
        ({"kind": "day", "low_rooms": 4, "high_rooms": 40}, {2: 4, 50: 40, 97: 4}),
    ],
)
def test_as_many_rooms_are_open_as_the_curve_says(arrivals: dict[str, Any], expected: dict[int, int]) -> None:
    rooms = drawn(arrivals)
    for at_s, count in expected.items():
        assert open_at(rooms, at_s) == pytest.approx(count, abs=2)
    assert (np.diff(rooms.join_at_s) >= 0).all() and (rooms.leave_at_s >= rooms.join_at_s).all()


def test_the_same_seed_draws_the_same_rooms_and_another_one_others() -> None:
    steady = {"kind": "steady", "rooms": 20}
    first, again, other = drawn(steady), drawn(steady), drawn(steady, seed=8)
    assert (first.join_at_s == again.join_at_s).all() and (first.take == again.take).all()
    assert not (first.take == other.take).all()


def test_meetings_that_end_are_followed_by_others() -> None:
    rooms = drawn({"kind": "steady", "rooms": 20}, rooms={"stay_s": 10})
    assert 100 < len(rooms) < 400 and open_at(rooms, 50) == 20
    assert np.mean(rooms.leave_at_s - rooms.join_at_s) == pytest.approx(10, rel=0.25)


def test_the_first_tenants_have_most_rooms_where_tenants_are_skewed() -> None:
    skewed = drawn({"kind": "steady", "rooms": 400}, tenants={"count": 4, "skew": 1})
    counts = np.bincount(skewed.tenant, minlength=4)
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.3) and (np.diff(counts) < 0).all()


def test_as_many_rooms_talk_as_the_share_says() -> None:
    assert drawn({"kind": "steady", "rooms": 400}, rooms={"talk_share": 0.25}).talks.mean() == pytest.approx(
        0.25, abs=0.07
    )


def test_a_traces_rooms_are_its_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("join_at_s,leave_at_s,tenant\n0,50,b\n10,500,a\n20,30,b\n200,210,a\n", "utf-8")
    rooms = drawn({"kind": "trace", "file": "t.csv"}, tmp_path)
    assert rooms.join_at_s.tolist() == [0, 10, 20] and rooms.leave_at_s.tolist() == [50, 100, 30]
    assert rooms.tenant.tolist() == [0, 1, 0]
