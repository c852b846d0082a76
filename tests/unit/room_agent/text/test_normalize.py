"""Check which wordings of a question ask for the same."""

from __future__ import annotations

import pytest

from room_agent.text.normalize import says_the_same


@pytest.mark.parametrize(
    ("heard", "whole"),
    [
        ("how much leave do I", "How much leave do I get?"),
        ("what is the budget", "Um, what is the budget, please?"),
        ("WHAT IS IT", "What is it?"),
        ("what does the handbook say about notice", "Well, what does our handbook say about notice?"),
    ],
)
def test_other_signs_and_light_words_change_nothing(heard: str, whole: str) -> None:
    assert says_the_same(heard, whole) and says_the_same(whole, heard)


@pytest.mark.parametrize(
    ("heard", "whole"),
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
def test_another_word_asks_for_something_else(heard: str, whole: str) -> None:
    assert not says_the_same(heard, whole)
