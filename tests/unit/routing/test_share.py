"""The complex tier receives its share of any traffic, and never more than its burst."""

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


def always_zero(rng: random.Random) -> float:
    return 0.0


def always_one(rng: random.Random) -> float:
    return 1.0


def bimodal(rng: random.Random) -> float:
    return rng.choice((0.05, 0.9))


def share_control(share: float, seed: int = 7) -> ShareControl:
    return ShareControl(ShareTarget(service="llm", share=share), random.Random(seed))


def send(control: ShareControl, draw: Draw, decisions: int, seed: int = 1) -> list[bool]:
    rng = random.Random(seed)
    return [control.decide(draw(rng)).complex for _ in range(decisions)]


@pytest.mark.parametrize("share", [0.30, 0.15])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (easy, hard),
        (hard, easy),
        (always_zero, always_one),
        (always_one, always_zero),
        (bimodal, easy),
        (easy, bimodal),
    ],
)
def test_the_share_is_held_when_the_scores_drift(share: float, seed: int, before: Draw, after: Draw) -> None:
    control = share_control(share, seed)
    send(control, before, 1_000, seed)
    sent = send(control, after, 1_000, seed + 50)
    assert fmean(sent) == pytest.approx(share, abs=0.05)
    assert fmean(sent[-500:]) == pytest.approx(share, abs=0.025)


def test_the_hardest_requests_go_to_the_strong_model() -> None:
    control, rng = share_control(0.3), random.Random(2)
    verdicts = [(score, control.decide(score).complex) for score in (easy(rng) for _ in range(3_000))]
    strong = [score for score, sent in verdicts[500:] if sent]
    weak = [score for score, sent in verdicts[500:] if not sent]
    assert fmean(strong) > fmean(weak) + 0.2


@pytest.mark.parametrize("seed", range(10))
def test_no_window_exceeds_its_burst(seed: int) -> None:
    """Hard turns arrive in bursts of any length, while the threshold is still at the level of the easy ones."""
    rng, target = random.Random(seed), ShareTarget(service="llm", share=0.2, burst=1.5, window=100)
    control = ShareControl(target, random.Random(seed))
    sent: list[bool] = []
    while len(sent) < 3_000:
        sent += send(
            control, rng.choice((easy, hard, always_one, always_zero)), rng.randrange(1, 200), rng.randrange(999)
        )
    totals = [0, *accumulate(sent)]
    max_complex = max(late - early for early, late in zip(totals, totals[target.window :], strict=False))
    assert max_complex <= target.share * target.burst * target.window
    assert control.counts().scored == len(sent)


def test_a_capped_decision_is_marked_and_does_not_lower_the_threshold() -> None:
    control = ShareControl(ShareTarget(service="llm", share=0.1, burst=1.0), random.Random(1))
    first, before = control.decide(1.0), control.threshold
    second = control.decide(1.0)
    assert (first.complex, first.capped, second.complex, second.capped) == (True, False, False, True)
    assert control.threshold > before > 0.5
    assert control.counts().capped == 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_zero_or_one_is_exact(share: float) -> None:
    control = share_control(share)
    send(control, always_zero, 300)
    assert set(send(control, bimodal, 500)) == {bool(share)}


def test_decisions_are_deterministic_for_one_seed() -> None:
    assert send(share_control(0.3), easy, 500) == send(share_control(0.3), easy, 500)
    assert send(share_control(0.3, seed=8), easy, 500) != send(share_control(0.3), easy, 500)


def test_rules_are_counted_without_moving_the_threshold() -> None:
    control = share_control(0.3)
    for _ in range(100):
        control.ruled("explicit model", Tier.COMPLEX)
    control.ruled("plan", Tier.SIMPLE)
    counts = control.counts()
    assert control.threshold == 0.5
    assert counts.ruled == {("explicit model", Tier.COMPLEX): 100, ("plan", Tier.SIMPLE): 1}
    assert counts.scored == 0 and counts.share == pytest.approx(100 / 101)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        *(({"share": share}, "share") for share in (1.5, -0.1, float("nan"))),
        *(({"threshold": 2.0}, "threshold"), ({"burst": 0.5}, "burst"), ({"window": 0}, "window")),
    ],
)
def test_a_setting_outside_its_range_is_rejected_by_name(settings: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"vision\.{field}: must be") as excinfo:
        ShareTarget(**{"service": "vision", "share": 0.15} | settings)  # type: ignore[arg-type]
    assert excinfo.value.param == field
