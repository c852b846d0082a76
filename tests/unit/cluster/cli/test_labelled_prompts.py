"""The measures of a ranking match their definitions, on rankings small enough to count by hand."""

from __future__ import annotations

import random

import pytest

from cluster.cli.labelled_prompts import LabelledPrompt, curve, evaluate, hold, quality
from routing.complexity import score_text
from routing.share import ShareControl, ShareTarget


def share_control(share: float = 0.3) -> ShareControl:
    return ShareControl(ShareTarget(service="llm", share=share), random.Random(7))


def label(prompt: str, weak: float, strong: float) -> LabelledPrompt:
    return LabelledPrompt(prompt=prompt, weak_correct=weak, strong_correct=strong)


def test_the_measures_match_a_ranking_counted_by_hand() -> None:
    """The strong model gains on two prompts of four; the ranking places one of them first and one last."""
    points = curve([4, 3, 2, 1], [1, 0, 0, 1])
    assert points == [(0, 0), (0.25, 0.5), (0.5, 0.5), (0.75, 0.5), (1, 1)]
    measured = quality("r", points, 0.5)
    assert (measured.apgr, measured.pgr_at_share, measured.cpt50) == (0.5, 0.5, 0.25)


def test_the_best_ranking_exceeds_one_if_the_strong_model_also_loses() -> None:
    best = quality("best", curve([3, 2, 1], [1, 0, -0.5]), 1 / 3)
    assert best.pgr_at_share == pytest.approx(2.0)
    assert best.apgr == pytest.approx((1 + 2 + 1.5) / 3)
    assert best.cpt50 == pytest.approx(1 / 12)


def test_prompts_with_the_same_score_have_no_order() -> None:
    forward, backward = ([1, 1, 1, 1], [1, 1, 0, 0]), ([1, 1, 1, 1], [0, 0, 1, 1])
    assert curve(*forward) == curve(*backward) == [(0, 0), (1, 1)]
    assert quality("tied", curve(*forward), 0.3).pgr_at_share == pytest.approx(0.3)


def test_the_scorer_is_compared_with_length_chance_and_the_oracle() -> None:
    """Long prompts need the strong model here: length and the scorer rank them well, chance does not."""
    rng = random.Random(3)
    labels = [label("word " * rng.randint(1, 30), 1, 1) for _ in range(400)]
    labels += [label("word " * rng.randint(25, 90), 0, 1) for _ in range(100)]
    rng.shuffle(labels)
    result = evaluate(labels, lambda prompt: score_text(prompt).score, share_control(), random.Random(1))
    by_name = {quality_row.name: quality_row for quality_row in result.qualities}
    assert list(by_name) == ["scorer", "length", "random", "oracle"]
    assert by_name["random"].apgr == pytest.approx(0.5, abs=0.03)
    assert by_name["random"].pgr_at_share == pytest.approx(0.3, abs=0.05)
    assert 0.8 < by_name["length"].apgr <= by_name["oracle"].apgr == pytest.approx(0.9)
    assert by_name["scorer"].apgr == pytest.approx(by_name["length"].apgr, abs=0.01)
    assert (result.prompts, result.weak_correct, result.strong_correct) == (500, 0.8, 1.0)


def test_the_held_share_is_measured_in_the_order_of_the_file() -> None:
    rng = random.Random(5)
    scores = [rng.random() for _ in range(2_000)]
    held = hold(scores, [float(score > 0.7) for score in scores], share_control(0.3))
    assert held.share == pytest.approx(0.3, abs=0.02) and held.trailing == 500
    assert held.gap_recovered > 0.85
    assert held.first_threshold == 0.5 and held.last_threshold == pytest.approx(0.7, abs=0.08)


def test_a_share_of_one_recovers_the_whole_gap() -> None:
    held = hold([1.0, 0.2], [1.0, 0.0], share_control(1.0))
    assert (held.share, held.gap_recovered) == (0.5, 1.0)
