"""A few words stop the agent in each supported language, as a whole utterance only."""

from __future__ import annotations

import pytest

from room_agent.intent.stop_words import STOP_PHRASES, asks_agent_to_stop, asks_to_stop

NAMES = ("Rayroom", "ray room")


@pytest.mark.parametrize("language", STOP_PHRASES)
def test_each_phrase_stops_the_agent_with_and_without_its_name(language: str) -> None:
    for phrase in STOP_PHRASES[language].split("|"):
        assert asks_to_stop(f"{phrase.capitalize()}.", NAMES) and not asks_agent_to_stop(phrase, NAMES)
        assert asks_agent_to_stop(f"Rayroom, {phrase}!", NAMES) and asks_agent_to_stop(f"{phrase} ray room", NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "Stop, please!",
        "Stopp, bitte, Rayroom.",
        "Assez, s'il vous plaît.",
        "para, para",
        "Nein nein, warte",
        "No, stop.",
    ],
)
def test_please_no_and_repetition_change_nothing(text: str) -> None:
    assert asks_to_stop(text, NAMES)


@pytest.mark.parametrize(
    "text",
    ["Rayroom, when does the bus stop?", "No.", "Hör auf Bob.", "Para cuándo?", "Basta un esempio.", "Rayroom.", ""],
)
def test_a_sentence_that_holds_such_a_word_does_not_stop_it(text: str) -> None:
    assert not asks_to_stop(text, NAMES)


def test_a_pasted_text_is_no_request_to_stop() -> None:
    assert not asks_to_stop("stop. " * 1_000, NAMES)
