"""A pointer, a caret and a clock are borne out by what follows, and are content otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from room_agent.frames.cursors import Shape
from room_agent.frames.hypotheses import CARET_S, CLOCK_S, POINTER_S, SPOT_S, Hypotheses
from room_agent.frames.regions import Region
from room_agent.frames.verdict import Finding, RegionKind

GRID = (270, 480)
SHAPE = Shape(luma=np.full((18, 12), 20, np.int16), mask=np.ones((18, 12), np.bool_))


def finding(kind: RegionKind, left: int = 100, top: int = 100, shape: Shape | None = None) -> Finding:
    region = Region(top=top, bottom=top + 4, left=left, right=left + 2, cells=8, weight_luma=900)
    return Finding(kind=kind, region=region, shape=shape)


def learned(hypotheses: Hypotheses, now_s: float, *findings: Finding, changed: bool = False) -> list[Finding]:
    return hypotheses.learn(findings, lambda _: changed, GRID, now_s)


def is_due(hypotheses: Hypotheses, found: Finding, waiting_s: float, now_s: float) -> bool:
    return bool(hypotheses.due([found], lambda _: waiting_s, now_s))


@pytest.mark.parametrize(
    ("kind", "limit_s"),
    [
        (RegionKind.SPOT, SPOT_S),
        (RegionKind.CARET, CARET_S),
        (RegionKind.CLOCK, CLOCK_S),
        (RegionKind.POINTER, POINTER_S),
    ],
)
def test_nothing_is_explained_away_for_ever(kind: RegionKind, limit_s: float) -> None:
    hypotheses, found = Hypotheses(), finding(kind)
    learned(hypotheses, 0.0, found)
    assert not is_due(hypotheses, found, limit_s - 0.1, limit_s)
    assert is_due(hypotheses, found, limit_s, limit_s)


def test_content_and_noise_are_no_hypotheses() -> None:
    assert not any(is_due(Hypotheses(), finding(kind), 1e9, 1e9) for kind in (RegionKind.CONTENT, RegionKind.NOISE))


def test_a_caret_that_goes_on_blinking_is_never_due() -> None:
    hypotheses, caret = Hypotheses(), finding(RegionKind.CARET)
    learned(hypotheses, 0.0, caret)
    for second in range(9, 200, 9):
        learned(hypotheses, float(second), *([caret] if second % 2 else []), changed=True)
        assert not is_due(hypotheses, caret, CARET_S, float(second))
    assert is_due(hypotheses, caret, CARET_S, 198.0 + 26.0)
    assert is_due(hypotheses, finding(RegionKind.CARET, left=300), CARET_S, 198.0)


def blinked(hypotheses: Hypotheses, found: Finding, seconds: range) -> list[RegionKind]:
    """Show a finding in every other look, and return the kinds it was explained as."""
    looks = (learned(hypotheses, float(second), *([] if second % 2 else [found]), changed=True) for second in seconds)
    return [one.kind for look in looks for one in look]


def test_a_small_place_that_comes_and_goes_is_learned_as_a_caret_until_it_stays() -> None:
    hypotheses, smear = Hypotheses(), finding(RegionKind.CONTENT)
    assert blinked(hypotheses, smear, range(9)) == [RegionKind.CONTENT] * 2 + [RegionKind.CARET] * 3
    caret = finding(RegionKind.CARET)
    assert not is_due(hypotheses, caret, CARET_S, 8.0 + CARET_S)
    assert is_due(hypotheses, caret, CARET_S, 8.1 + CARET_S)


def test_a_larger_place_that_comes_and_goes_is_content() -> None:
    hypotheses = Hypotheses()
    region = Region(top=100, bottom=104, left=100, right=120, cells=80, weight_luma=9_000)
    word = Finding(kind=RegionKind.CONTENT, region=region)
    assert blinked(hypotheses, word, range(20)) == [RegionKind.CONTENT] * 10
    # A word that is typed where a caret blinked is larger than the caret.
    blinked(hypotheses, finding(RegionKind.CONTENT), range(20, 40))
    assert learned(hypotheses, 41.0, word, changed=True) == [word]


def test_a_clock_that_ticks_within_a_minute_is_never_due() -> None:
    hypotheses, clock = Hypotheses(), finding(RegionKind.CLOCK, top=2)
    for second in range(0, 600, 60):
        learned(hypotheses, float(second), clock, changed=second > 0)
        if second:
            assert not is_due(hypotheses, clock, float(second), float(second))
    assert is_due(hypotheses, clock, 600.0, 540.0 + CLOCK_S + 1)


def test_a_place_in_a_bar_that_changes_each_minute_is_learned_as_a_clock() -> None:
    hypotheses, figure = Hypotheses(), finding(RegionKind.CONTENT, top=2)
    kinds = [learned(hypotheses, second, figure, changed=second > 0)[0].kind for second in (0.0, 60.0, 120.0, 180.0)]
    assert kinds == [RegionKind.CONTENT, RegionKind.CONTENT, RegionKind.CLOCK, RegionKind.CLOCK]


@pytest.mark.parametrize(("top", "step_s"), [(2, 20.0), (120, 60.0)])
def test_a_figure_at_another_rate_or_in_the_page_is_no_clock(top: int, step_s: float) -> None:
    hypotheses, figure = Hypotheses(), finding(RegionKind.CONTENT, top=top)
    for number in range(6):
        (found,) = learned(hypotheses, number * step_s, figure, changed=number > 0)
        assert found.kind is RegionKind.CONTENT


def test_a_spot_that_was_seen_in_three_places_is_remembered_as_a_pointer() -> None:
    hypotheses = Hypotheses()
    origin = finding(RegionKind.SPOT, left=10, shape=SHAPE)
    learned(hypotheses, 0.0, origin, finding(RegionKind.SPOT, left=100, shape=SHAPE))
    assert hypotheses.known_shapes == []
    learned(hypotheses, 1.0, origin, finding(RegionKind.SPOT, left=200, shape=SHAPE))
    assert hypotheses.known_shapes == [SHAPE]
    learned(hypotheses, 2.0, origin, finding(RegionKind.SPOT, left=300, shape=SHAPE))
    assert len(hypotheses.known_shapes) == 1


def test_a_spot_that_moves_and_returns_is_not_remembered() -> None:
    hypotheses = Hypotheses()
    for second in range(10):
        spots = [finding(RegionKind.SPOT, left=left, shape=SHAPE) for left in (10, 100)]
        learned(hypotheses, float(second), *(spots if second % 2 else []))
    assert hypotheses.known_shapes == []


def test_a_pointer_that_moved_is_never_due() -> None:
    hypotheses, pointer = Hypotheses(), finding(RegionKind.POINTER, shape=SHAPE)
    learned(hypotheses, 0.0, pointer)
    assert not is_due(hypotheses, pointer, 1e6, 1e6)


def test_a_caret_is_known_once_it_has_blinked_twice_and_a_letter_beside_other_changes_is_not() -> None:
    hypotheses, caret, page = Hypotheses(), finding(RegionKind.CARET), finding(RegionKind.CONTENT)
    learned(hypotheses, 0.0, caret)
    for second in (1.0, 2.0, 3.0):
        learned(hypotheses, second, page, changed=True)
    assert not hypotheses.explains(caret)
    for second in (4.0, 5.0):
        learned(hypotheses, second, caret, changed=True)
    assert hypotheses.explains(caret) and not hypotheses.explains(finding(RegionKind.CARET, left=300))


def test_a_new_scene_over_a_clock_is_content() -> None:
    hypotheses, tick = Hypotheses(), finding(RegionKind.CLOCK, left=470, top=3)
    learned(hypotheses, 0.0, tick)
    scene = replace(
        tick, kind=RegionKind.CONTENT, region=Region(top=2, bottom=270, left=0, right=480, cells=90_000, weight_luma=1)
    )
    digit = replace(tick, kind=RegionKind.CONTENT)
    assert [one.kind for one in learned(hypotheses, 30.0, scene, digit)] == [RegionKind.CONTENT, RegionKind.CLOCK]
    assert hypotheses.explains(digit) and not hypotheses.explains(scene)
