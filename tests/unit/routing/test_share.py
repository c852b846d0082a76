"""The complex tier gets its share for any traffic, and never more than its burst."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import accumulate
from statistics import fmean

import pytest

from routing.errors import ConfigurationError
from routing.models import Tier
from routing.share import ShareControl, ShareTarget

Draw = Callable[[random.Random], float]


def easy(rng: random.Random) -> float:
    return rng.betavariate(2, 6)


def hard(rng: random.Random) -> float:
    return rng.betavariate(6, 2)


def nothing(rng: random.Random) -> float:
    return 0.0


def everything(rng: random.Random) -> float:
    return 1.0


def two_kinds(rng: random.Random) -> float:
    return rng.choice((0.05, 0.9))


def control(share: float, seed: int = 7) -> ShareControl:
    return ShareControl(ShareTarget(service="llm", share=share), random.Random(seed))


def send(control: ShareControl, draw: Draw, decisions: int, seed: int = 1) -> list[bool]:
    rng = random.Random(seed)
    return [control.decide(draw(rng)).complex for _ in range(decisions)]


@pytest.mark.parametrize("share", [0.30, 0.15])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("before", "after"),
    [(easy, hard), (hard, easy), (nothing, everything), (everything, nothing), (two_kinds, easy), (easy, two_kinds)],
)
def test_the_share_is_held_after_the_scores_drift(share: float, seed: int, before: Draw, after: Draw) -> None:
    held = control(share, seed)
    send(held, before, 1_000, seed)
    sent = send(held, after, 1_000, seed + 50)
    assert fmean(sent) == pytest.approx(share, abs=0.05)
    assert fmean(sent[-500:]) == pytest.approx(share, abs=0.025)


def test_what_goes_strong_is_the_hardest() -> None:
    held, rng = control(0.3), random.Random(2)
    verdicts = [(score, held.decide(score).complex) for score in (easy(rng) for _ in range(3_000))]
    strong = [score for score, sent in verdicts[500:] if sent]
    weak = [score for score, sent in verdicts[500:] if not sent]
    assert fmean(strong) > fmean(weak) + 0.2


@pytest.mark.parametrize("seed", range(10))
def test_no_window_ever_holds_more_than_its_burst(seed: int) -> None:
    """Hard turns come in floods of every length, and the threshold is still where the easy ones left it."""
    rng, target = random.Random(seed), ShareTarget(service="llm", share=0.2, burst=1.5, window=100)
    held = ShareControl(target, random.Random(seed))
    sent: list[bool] = []
    while len(sent) < 3_000:
        sent += send(held, rng.choice((easy, hard, everything, nothing)), rng.randrange(1, 200), rng.randrange(999))
    totals = [0, *accumulate(sent)]
    most = max(late - early for early, late in zip(totals, totals[target.window :], strict=False))
    assert most <= target.share * target.burst * target.window
    assert held.counts().scored == len(sent)


def test_a_capped_score_is_said_to_be_and_does_not_lower_the_threshold() -> None:
    held = ShareControl(ShareTarget(service="llm", share=0.1, burst=1.0), random.Random(1))
    first, before = held.decide(1.0), held.threshold
    second = held.decide(1.0)
    assert (first.complex, first.capped, second.complex, second.capped) == (True, False, False, True)
    assert held.threshold > before > 0.5
    assert held.counts().capped == 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_is_just_that(share: float) -> None:
    held = control(share)
    send(held, nothing, 300)
    assert set(send(held, two_kinds, 500)) == {bool(share)}


def test_the_same_scores_and_the_same_dice_give_the_same_verdicts() -> None:
    assert send(control(0.3), easy, 500) == send(control(0.3), easy, 500)
    assert send(control(0.3, seed=8), easy, 500) != send(control(0.3), easy, 500)


def test_rules_are_counted_and_leave_the_threshold_alone() -> None:
    held = control(0.3)
    for _ in range(100):
        held.ruled("explicit model", Tier.COMPLEX)
    held.ruled("plan", Tier.SIMPLE)
    counts = held.counts()
    assert held.threshold == 0.5
    assert counts.ruled == {("explicit model", Tier.COMPLEX): 100, ("plan", Tier.SIMPLE): 1}
    assert counts.scored == 0 and counts.share == pytest.approx(100 / 101)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *(({"share": share}, "share") for share in (1.5, -0.1, float("nan"))),
        *(({"threshold": 2.0}, "threshold"), ({"burst": 0.5}, "burst"), ({"window": 0}, "window")),
    ],
)
def test_a_target_outside_its_range_is_refused_by_name(wrong: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"vision\.{field}: must be") as refused:
        ShareTarget(**{"service": "vision", "share": 0.15} | wrong)  # type: ignore[arg-type]
    assert refused.value.param == field
