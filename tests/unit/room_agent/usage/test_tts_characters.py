"""Check that a TTS socket's characters are counted once, and deducted where the vendor refused them."""

from __future__ import annotations

import json
from typing import Any

from room_agent.usage.tts_characters import TtsCharacterCounts

REFUSED = json.dumps({"message": "This request exceeds your quota.", "error": "quota_exceeded", "code": 1008})


def sound(text: str | None, name: str = "one", **more: Any) -> str:
    alignment = {"chars": list(text)} if text is not None else None
    return json.dumps({"audio": "AAAA", "alignment": alignment, "contextId": name} | more)


def sent(*texts: str) -> TtsCharacterCounts:
    """Return the counts of a socket after the pieces of one text, which is then closed."""
    socket = TtsCharacterCounts()
    for text in (" ", *texts):
        socket.send({"text": text, "context_id": "one"})
    socket.send({"context_id": "one", "close_context": True})
    return socket


def test_a_refusal_deducts_the_characters_without_audio_and_ends_the_count() -> None:
    socket = sent("Half of it. ", "The other half. ")
    socket.send({"text": "Another.", "context_id": "two"})
    assert socket.receive(sound("Half of it. ")) == 0
    assert socket.receive(REFUSED) == len(" The other half.") + len("Another.")
    assert socket.receive(REFUSED) == 0 == socket.send({"text": "More.", "context_id": "three"})


def test_a_text_that_may_have_been_spoken_stays_billed() -> None:
    ended, unaligned = sent("Half of it. "), sent("Half of it. ")
    ended.receive(json.dumps({"audio": None, "isFinal": True, "context_id": "one"}))
    unaligned.receive(sound(None))
    assert (ended.receive(REFUSED), unaligned.receive(REFUSED)) == (0, 0)


def test_unsent_characters_are_not_deducted_twice() -> None:
    socket = sent("Half of it. ", "The other half. ")
    socket.unsent(len(" The other half."))
    assert socket.receive(REFUSED) == len("Half of it.")


def test_other_errors_and_invalid_messages_deduct_nothing() -> None:
    socket = sent("Half of it. ")
    deducted = [socket.receive(text) for text in ("", "[]", "no json", json.dumps({"error": "internal_error"}))]
    assert deducted == [0] * 4 and socket.receive(REFUSED) == len("Half of it.")
