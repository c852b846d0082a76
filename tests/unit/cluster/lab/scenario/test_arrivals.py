"""The rooms of a scenario follow its settings and are deterministic for a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.lab.scenario.arrivals import ScheduledRooms, draw_rooms
from cluster.lab.scenario.scenario import Scenario


def drawn_rooms(arrivals: dict[str, Any], directory: Path = Path(), **settings: Any) -> ScheduledRooms:
    document = {"name": "one", "length_s": 100, "arrivals": arrivals, **settings}
    return draw_rooms(Scenario.model_validate(document), directory)


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
def test_the_number_of_open_rooms_follows_the_curve(arrivals: dict[str, Any], expected: dict[int, int]) -> None:
    rooms = drawn_rooms(arrivals)
    for at_s, count in expected.items():
        assert open_at(rooms, at_s) == pytest.approx(count, abs=2)
    assert (np.diff(rooms.join_at_s) >= 0).all() and (rooms.leave_at_s >= rooms.join_at_s).all()


def test_rooms_are_deterministic_for_a_seed() -> None:
    steady = {"kind": "steady", "rooms": 20}
    first, second, other = drawn_rooms(steady), drawn_rooms(steady), drawn_rooms(steady, seed=8)
    assert (first.join_at_s == second.join_at_s).all() and (first.recording == second.recording).all()
    assert not (first.recording == other.recording).all()


def test_a_meeting_that_ends_is_followed_by_another() -> None:
    rooms = drawn_rooms({"kind": "steady", "rooms": 20}, rooms={"stay_s": 10})
    assert 100 < len(rooms) < 400 and open_at(rooms, 50) == 20
    assert np.mean(rooms.leave_at_s - rooms.join_at_s) == pytest.approx(10, rel=0.25)


def test_a_skew_gives_the_first_tenants_more_rooms() -> None:
    skewed = drawn_rooms({"kind": "steady", "rooms": 400}, tenants={"count": 4, "skew": 1})
    counts = np.bincount(skewed.tenant, minlength=4)
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.3) and (np.diff(counts) < 0).all()


def test_the_share_sets_the_number_of_rooms_with_questions() -> None:
    assert drawn_rooms({"kind": "steady", "rooms": 400}, rooms={"talk_share": 0.25}).talks.mean() == pytest.approx(
        0.25, abs=0.07
    )


def test_a_trace_has_one_room_per_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("join_at_s,leave_at_s,tenant\n0,50,b\n10,500,a\n20,30,b\n200,210,a\n", "utf-8")
    rooms = drawn_rooms({"kind": "trace", "file": "t.csv"}, tmp_path)
    assert rooms.join_at_s.tolist() == [0, 10, 20] and rooms.leave_at_s.tolist() == [50, 100, 30]
    assert rooms.tenant.tolist() == [0, 1, 0]
