"""The score of a turn grows with its length and is adjusted by cues in its text and context."""

from __future__ import annotations

import pytest

from routing.complexity import TurnFeatures, score_frame, score_text, score_turn
from routing.models import FrameFeatures

QUESTION = "Show me the numbers on the second chart"


def test_a_greeting_is_simple_and_a_plan_with_code_is_complex() -> None:
    assert score_text("hi there").score < 0.2
    hard = score_text("Explain why this fails and plan a fix step by step:\n```\ndef f(): return g()\n```")
    assert hard.score >= 0.5 and {"code", "steps", "why"} <= set(hard.reasons)


def test_scores_grow_with_length_and_never_exceed_one() -> None:
    scores = [score_text("table " * words).score for words in range(0, 3_000, 50)]
    assert scores == sorted(scores) and scores[0] == 0.0 and 0.59 < scores[-1] <= 0.6
    text = "No, why not compare these ```code``` " + "words " * 900
    features = TurnFeatures(text=text, has_image=True, last_answer_failed=True)
    assert score_text(text).score < score_turn(features).score <= 1.0


def test_length_counts_letters_and_ignores_digits() -> None:
    assert score_text("12.50 + 37.25 = " * 20).score == 0.0
    assert score_text("四季度的收入为什么比上一季度低").score > score_text("ok then, go on").score


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("No, I meant " + QUESTION, "repair"),
        (QUESTION + " and explain them", "why"),
        (QUESTION + " and compare them", "steps"),
        (QUESTION + ", all except the first", "negation"),
        (QUESTION + " ```x```", "code"),
    ],
)
def test_a_cue_raises_the_score_above_that_of_the_length(text: str, reason: str) -> None:
    letter_count = sum(letter.isalpha() for letter in text)
    assert reason in score_text(text).reasons
    assert score_text(text).score > score_text("x" * letter_count).score + 0.03


@pytest.mark.parametrize("text", ["no problem, show me the chart", "the answer is no", "nothing else is on it"])
def test_the_word_no_alone_is_not_a_repair(text: str) -> None:
    assert "repair" not in score_text(text).reasons


@pytest.mark.parametrize("text", ["Thanks!", "ok, got it", "Yes", "great, thank you, bye."])
def test_a_closing_phrase_scores_almost_zero(text: str) -> None:
    assert score_text(text).reasons == ("closing",) and score_text(text).score < 0.02


def test_the_context_of_a_turn_changes_its_score() -> None:
    without_context = score_turn(TurnFeatures(text=QUESTION)).score
    after_failure = score_turn(TurnFeatures(text="ok", last_answer_failed=True))
    assert after_failure.score >= 0.5 and after_failure.reasons == ("failed before",)
    assert score_turn(TurnFeatures(text=QUESTION, has_image=True)).score > without_context


def test_only_the_head_and_the_tail_of_a_long_turn_are_searched_for_cues() -> None:
    log = "a quiet line\n" * 50_000
    assert "steps" in score_text("compare: " + log).reasons
    assert "steps" in score_text(log + " compare them").reasons
    assert "steps" not in score_text(log + " compare them " + log).reasons


def test_dense_new_text_raises_the_score_of_a_frame() -> None:
    assert score_frame(FrameFeatures()).score == 0.0
    assert score_frame(FrameFeatures(text_density=1, edge_energy=1, changed_share=1, novelty=1)).score == 1.0
    assert score_frame(FrameFeatures(text_density=0.8, novelty=0.9)).reasons == ("text", "novel")
