"""A search begun on interim text serves a question that asks for the same, and no other; and it is begun in time."""

from __future__ import annotations

import pytest

from room_agent.audio.transcripts import MOST_TOLD, STILL_S, StablePartial
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


def test_a_text_is_told_once_it_stands_still() -> None:
    foretelling = StablePartial()
    assert not foretelling.worth_telling("how much", False, 1.0)
    assert not foretelling.worth_telling("how much leave", False, 1.0 + STILL_S)
    assert foretelling.worth_telling("how much leave", False, 1.0 + 2 * STILL_S)
    assert not foretelling.worth_telling("How much leave?", False, 9.0)


def test_a_final_text_need_not_stand_still_and_none_is_not_told() -> None:
    foretelling = StablePartial()
    assert not foretelling.worth_telling("", True, 1.0)
    assert foretelling.worth_telling("how much leave", True, 1.0)


def test_an_utterance_that_changes_again_and_again_is_told_a_few_times() -> None:
    foretelling = StablePartial()
    told = [foretelling.worth_telling(f"how much for number {number}", True, 1.0) for number in range(20)]
    assert sum(told) == MOST_TOLD
    foretelling.forget()
    assert foretelling.worth_telling("how much", True, 2.0)
