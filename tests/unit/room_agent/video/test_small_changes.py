"""A small change is never explained away for ever; pointers, carets and clocks cost nothing over ten minutes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from room_agent.video.frame_gate import FrameGate
from tests.support.drawn_changes import EXPLAINED_AWAY, LIGHT, RECOLOURED, THEMES, Change, Screen, Theme

TEN_MINUTES_S = 600


@pytest.mark.parametrize("change", [*EXPLAINED_AWAY, *RECOLOURED], ids=lambda change: change.name)
def test_a_small_change_is_sent_once_within_ten_seconds(change: Change) -> None:
    before, after = change.before().planes(), change.after().planes()
    gate = FrameGate()
    kept = [second for second in range(20) if gate.offer(after if second >= 3 else before, float(second)).keep]
    assert len(kept) == 2 and kept[1] <= 3 + 9


@dataclass(frozen=True, slots=True)
class View:
    """What a desktop shows beside its page: a cursor of a shape at a place, a caret, and a clock."""

    cursor: tuple[str, tuple[int, int]] | None = None
    caret: bool = False
    clock: str = "10:50"
    clock_at: tuple[int, int] = (1220, 698)

    def screen(self, theme: Theme) -> Screen:
        screen = Screen(theme).text(self.clock_at, self.clock)
        if self.caret:
            screen.box((500, 300), (2, 18), theme.ink)
        match self.cursor:
            case ("black", at):
                screen.pointer(at)
            case ("white", at):
                screen.pointer(at, (255, 255, 255), (0, 0, 0))
            case ("hand", at):
                screen.hand(at)
        return screen


def kept_seconds(view_at: Callable[[int], View], seconds: int, theme: Theme = LIGHT) -> list[int]:
    gate, drawn = FrameGate(), {}
    kept = []
    for second in range(seconds):
        view = view_at(second)
        if view not in drawn:
            drawn[view] = view.screen(theme).planes()
        if gate.offer(drawn[view], float(second)).keep:
            kept.append(second)
    return kept


@pytest.mark.parametrize("theme", [LIGHT, THEMES[2]], ids=lambda theme: theme.name)
@pytest.mark.parametrize("shapes", [("black",), ("white",), ("black", "hand"), ("white", "hand")])
def test_a_pointer_that_arrives_moves_changes_its_shape_and_leaves_costs_nothing(
    theme: Theme, shapes: tuple[str, ...]
) -> None:
    rng = random.Random(1)
    views = [View()] + [
        View(cursor=(rng.choice(shapes), (rng.randrange(20, 1240), rng.randrange(40, 660)))) if number % 5 else View()
        for number in range(30)
    ]
    assert kept_seconds(lambda second: views[second // 20], TEN_MINUTES_S, theme) == [0]


def test_a_caret_that_blinks_costs_nothing() -> None:
    # Windows' rate: sampled once a second, the caret is seen nine times in a row and then missed nine times.
    assert kept_seconds(lambda second: View(caret=second / 1.06 % 1.0 < 0.5), TEN_MINUTES_S) == [0]


@pytest.mark.parametrize("clock_at", [(1220, 698), (1220, 10), (620, 10)])
def test_a_clock_that_ticks_each_minute_costs_nothing(clock_at: tuple[int, int]) -> None:
    def view(second: int) -> View:
        minutes = 50 + second // 60
        return View(clock=f"{10 + minutes // 60}:{minutes % 60:02}", clock_at=clock_at)

    assert kept_seconds(view, TEN_MINUTES_S + 100) == [0]


def test_a_clock_that_stops_is_sent() -> None:
    kept = kept_seconds(lambda second: View(clock="10:51" if second >= 3 else "10:50"), 100)
    assert kept == [0, 3 + 75]
