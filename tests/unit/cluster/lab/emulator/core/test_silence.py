"""The simulated model is silent where that is offered and nothing shows that it is addressed."""

from __future__ import annotations

import pytest

from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.core.silence import silent_words
from room_agent.intent.silence import ALONE_INSTRUCTION, INSTRUCTION, is_silence

RULES = RequestMessage("system", ("You take part in a live meeting as Rayroom.\nSomebody asks you something.",))
OFFER = RequestMessage("system", (INSTRUCTION,))


def words_for(text: str, *system: RequestMessage) -> tuple[str, ...] | None:
    return silent_words([*system, RequestMessage("user", (text,))])


@pytest.mark.parametrize("text", ["Das fragen wir Rayroom nachher.", "Bob hat recht.", "Merci beaucoup.", "Ok.", "So."])
def test_it_is_silent_in_changing_dress(text: str) -> None:
    words = words_for(text, RULES, OFFER)
    assert words is not None and is_silence(" ".join(words))


def test_to_somebody_alone_it_is_silent_after_a_few_words_only() -> None:
    alone = RequestMessage("system", (ALONE_INSTRUCTION,))
    assert words_for("Merci beaucoup.", RULES, alone) is not None
    assert words_for("Erzähl mir, was auf der Folie steht", RULES, alone) is None


def test_it_answers_a_question_and_a_call_and_wherever_silence_is_not_offered() -> None:
    for text in ("Rayroom, bitte weiter.", "Weiter bitte, Rayroom", "Was steht da?"):
        assert words_for(text, RULES, OFFER) is None
    assert words_for("Bob hat recht.", RULES) is None and silent_words([]) is None
