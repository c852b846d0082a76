"""All books agree to the nano-dollar after a kill at each point of the money path: `make chaos` in short."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.fault_points import POINTS, FaultPoint
from tests.chaos.money_path import MoneyPathSettings, run_money_path
from tests.chaos.report import money_path_table
from tests.chaos.schedule import FAULTS, lives

SHORT = tuple(fault for fault in FAULTS if not fault.endswith("stopped"))
"""A stop takes seconds, in which nothing else happens."""
KILLS = len(POINTS) + 6


@pytest.mark.kills
async def test_books_agree_after_a_kill_at_each_point_of_the_money_path(tmp_path: Path) -> None:
    schedule = lives(KILLS, seed=7, among=SHORT)
    result = await run_money_path(
        MoneyPathSettings(directory=tmp_path, schedule=schedule, seed=7, stop_s=0.0, month_ends_after_s=15.0)
    )
    table = money_path_table(result, seed=7)
    assert result.comparison.differences == [], table
    assert result.comparison.answers["ok"] > 100, table
    assert {*POINTS, "router killed", "leaf killed"} <= set(result.kills), table
    assert result.months == 2, "the run passes the end of a month"
    assert result.counts["unexpected_duplicates"] == result.counts["parked_windows"] == 0


def test_a_process_is_killed_when_its_own_point_is_passed_often_enough() -> None:
    kills: list[tuple[int, int]] = []
    point = FaultPoint("in seal", passages=1, kill=lambda pid, number: kills.append((pid, number)))
    for name in ("before commit", "in seal", "after commit"):
        point.reach(name)
    assert kills == []
    point.reach("in seal")
    assert len(kills) == 1
