"""A question names a participant by their name in any spelling, and not by other words of their display name."""

from __future__ import annotations

import pytest

from room_agent.intent.screen_owner import is_askers_own, names, words_of

QUESTIONS_WITHOUT_NAME = (
    "What does it say?",
    "What is the title of the slide?",
    "What does the chart at the bottom show?",
    "What will the chart look like?",
    "What's on this slide?",
    "What do they show on the screen?",
    "Mark the highest bar on the slide",
    "What is the price of the product?",
    "What does the green line show?",
)


@pytest.mark.parametrize(
    "name",
    [
        "Alex (IT)",
        "Alex (IT",
        "Tom - Head of Product",
        "Maria at Acme",
        "Sam (they/them)",
        "Guest on iPad",
        "Will",
        "Mark",
        "The Johnsons",
        "PM Show & Tell",
        "Conference Room: Screen",
        "What",
        "Number One",
        "John Doe",
        "Ann Price",
        "Tom Green",
        "Bob's iPhone",
        "???",
        "",
    ],
)
def test_an_everyday_word_in_a_display_name_names_nobody(name: str) -> None:
    assert not [question for question in QUESTIONS_WITHOUT_NAME if names(words_of(question), name)]


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("Jos\u00e9", "What is on Jose's screen?"),
        ("Jose", "What is on Jos\u00e9\u2019s screen?"),
        ("\u0141ukasz", "What's Lukasz showing?"),
        ("Bob", "what's on bobs screen"),
        ("Bob's iPhone", "What is Bob sharing?"),
        ("Alex (IT)", "What does Alex's slide say?"),
        ("Tom - Head of Product", "What is Tom presenting?"),
        ("Sales | Tom", "What is Tom presenting?"),
        ("Maria at Acme", "Read Maria's title"),
        ("Jean-Luc", "What is Jean-Luc sharing?"),
        ("The Johnsons", "What is on the Johnsons' screen?"),
        ("Will", "What's on Will's screen?"),
        ("Will", "What is Will sharing?"),
        ("Mark", "Read the title on the slide of Mark"),
        ("Ann Price", "What does Price's chart show?"),
    ],
)
def test_a_participant_is_recognised_in_every_spelling_of_their_name(name: str, question: str) -> None:
    assert names(words_of(question), name)


@pytest.mark.parametrize("name", ["(" * 10_000, "(a" * 5_000, " - " * 4_000, "a\u0301" * 5_000, "\ufdfa" * 10_000])
def test_a_hostile_name_names_nobody(name: str) -> None:
    assert not names(words_of("What is on the slide?"), name)


def test_my_screen_is_the_askers_and_the_screen_i_look_at_is_not() -> None:
    for question in (
        "What's on my screen?",
        "What am I sharing?",
        "Read the slide that I'm showing",
        "What did I share?",
    ):
        assert is_askers_own(question)
    for question in ("What am I looking at?", "What's on the slide?", "Am I right?", "Is my colleague's chart right?"):
        assert not is_askers_own(question)
