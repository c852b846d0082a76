"""Text normalisation, and the comparison of a partial transcript with the whole question."""

from __future__ import annotations

import pytest

from room_agent.text.normalize import folded, says_the_same, without_accents


@pytest.mark.parametrize(
    ("partial", "question"),
    [
        ("how much leave do I", "How much leave do I get?"),
        ("what is the budget", "Um, what is the budget, please?"),
        ("WHAT IS IT", "What is it?"),
        ("what does the handbook say about notice", "Well, what does our handbook say about notice?"),
    ],
)
def test_punctuation_and_filler_words_do_not_change_a_question(partial: str, question: str) -> None:
    assert says_the_same(partial, question) and says_the_same(question, partial)


@pytest.mark.parametrize(
    ("partial", "question"),
    [
        ("what is the price of", "What is the price of tea?"),
        ("how much leave", "How much leave in Germany?"),
        ("what is allowed", "What is not allowed?"),
        ("flights to Paris", "flights from Paris"),
        ("leave before notice", "notice before leave"),
        ("is it", "is"),
        ("", "what is it"),
    ],
)
def test_a_different_content_word_changes_a_question(partial: str, question: str) -> None:
    assert not says_the_same(partial, question)


def test_folding_maps_full_width_letters_and_apostrophes() -> None:
    assert folded("\uff32ay, it\u2019s") == "ray, it's"


def test_letters_without_a_decomposition_lose_their_accents_too() -> None:
    assert without_accents("Jos\u00e9 S\u00f8rensen") == "jose sorensen"
