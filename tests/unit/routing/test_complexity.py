"""A turn's score is its length, adjusted by cues in its words and its room."""

from __future__ import annotations

import pytest

from routing.complexity import TurnFeatures, score_frame, score_text, score_turn
from routing.models import FrameFeatures

QUESTION = "Show me the numbers on the second chart"


def test_a_greeting_is_simple_and_a_plan_with_code_is_complex() -> None:
    assert score_text("hi there").score < 0.2
    hard = score_text("Explain why this fails and plan a fix step by step:\n```\ndef f(): return g()\n```")
    assert hard.score >= 0.5 and {"code", "steps", "why"} <= set(hard.reasons)


def test_a_longer_turn_is_never_easier_and_no_turn_is_beyond_one() -> None:
    scores = [score_text("table " * words).score for words in range(0, 3_000, 50)]
    assert scores == sorted(scores) and scores[0] == 0.0 and 0.59 < scores[-1] <= 0.6
    everything = "No, why not compare these ```code``` " + "words " * 900
    most = TurnFeatures(text=everything, has_image=True, last_answer_failed=True)
    assert score_text(everything).score < score_turn(most).score <= 1.0


def test_letters_make_a_turn_long_and_digits_do_not() -> None:
    assert score_text("12.50 + 37.25 = " * 20).score == 0.0
    assert score_text("四季度的收入为什么比上一季度低").score > score_text("ok then, go on").score


@pytest.mark.parametrize(
    ("harder", "reason"),
    [
        ("No, I meant " + QUESTION, "repair"),
        (QUESTION + " and explain them", "why"),
        (QUESTION + " and compare them", "steps"),
        (QUESTION + ", all except the first", "negation"),
        (QUESTION + " ```x```", "code"),
    ],
)
def test_a_cue_makes_a_turn_harder_than_its_length_alone(harder: str, reason: str) -> None:
    letters = sum(letter.isalpha() for letter in harder)
    assert reason in score_text(harder).reasons
    assert score_text(harder).score > score_text("x" * letters).score + 0.03


@pytest.mark.parametrize("text", ["no problem, show me the chart", "the answer is no", "nothing else is on it"])
def test_a_no_that_repairs_nothing_is_no_repair(text: str) -> None:
    assert "repair" not in score_text(text).reasons


@pytest.mark.parametrize("text", ["Thanks!", "ok, got it", "Yes", "great, thank you, bye."])
def test_a_closing_word_is_as_easy_as_it_gets(text: str) -> None:
    assert score_text(text).reasons == ("closing",) and score_text(text).score < 0.02


def test_the_room_tells_what_the_words_do_not() -> None:
    alone = score_turn(TurnFeatures(text=QUESTION)).score
    failed = score_turn(TurnFeatures(text="ok", last_answer_failed=True))
    assert failed.score >= 0.5 and failed.reasons == ("failed before",)
    assert score_turn(TurnFeatures(text=QUESTION, has_image=True)).score > alone


def test_a_pasted_log_is_read_at_its_head_and_its_tail() -> None:
    log = "a quiet line\n" * 50_000
    assert "steps" in score_text("compare: " + log).reasons
    assert "steps" in score_text(log + " compare them").reasons
    assert "steps" not in score_text(log + " compare them " + log).reasons


def test_a_frame_full_of_new_text_is_harder_than_an_empty_one() -> None:
    assert score_frame(FrameFeatures()).score == 0.0
    assert score_frame(FrameFeatures(text_density=1, edge_energy=1, changed_share=1, novelty=1)).score == 1.0
    assert score_frame(FrameFeatures(text_density=0.8, novelty=0.9)).reasons == ("text", "novel")
