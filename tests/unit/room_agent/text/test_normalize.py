"""Check which partial transcripts are searched, and which wordings ask for the same."""

from __future__ import annotations

import pytest

from room_agent.audio.transcripts import MAX_REPORTS, STABLE_S, StablePartial
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


def test_a_text_is_reported_once_it_is_stable() -> None:
    stable = StablePartial()
    assert not stable.should_report("how much", False, 1.0)
    assert not stable.should_report("how much leave", False, 1.0 + STABLE_S)
    assert stable.should_report("how much leave", False, 1.0 + 2 * STABLE_S)
    assert not stable.should_report("How much leave?", False, 9.0)


def test_a_final_text_need_not_be_stable_and_an_empty_one_is_not_reported() -> None:
    stable = StablePartial()
    assert not stable.should_report("", True, 1.0)
    assert stable.should_report("how much leave", True, 1.0)


def test_an_utterance_that_keeps_changing_is_reported_a_few_times() -> None:
    stable = StablePartial()
    reported = [stable.should_report(f"how much for number {number}", True, 1.0) for number in range(20)]
    assert sum(reported) == MAX_REPORTS
    stable.reset()
    assert stable.should_report("how much", True, 2.0)
