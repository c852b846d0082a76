"""What a voice's socket was sent is told once, and taken back where its vendor refused to say it."""

from __future__ import annotations

import json
from typing import Any

from room_agent.usage.tts_characters import TtsCharacterCounts

REFUSED = json.dumps({"message": "This request exceeds your quota.", "error": "quota_exceeded", "code": 1008})


def sound(text: str | None, name: str = "one", **more: Any) -> str:
    alignment = {"chars": list(text)} if text is not None else None
    return json.dumps({"audio": "AAAA", "alignment": alignment, "contextId": name} | more)


def sent(*texts: str) -> TtsCharacterCounts:
    """Return a socket's texts after so many pieces of one, which is then closed."""
    socket = TtsCharacterCounts()
    for text in (" ", *texts):
        socket.send({"text": text, "context_id": "one"})
    socket.send({"context_id": "one", "close_context": True})
    return socket


def test_what_no_sound_came_of_is_taken_back_in_every_text_and_nothing_is_told_any_more() -> None:
    socket = sent("Half of it. ", "The other half. ")
    socket.send({"text": "Another.", "context_id": "two"})
    assert socket.receive(sound("Half of it. ")) == 0
    assert socket.receive(REFUSED) == len(" The other half.") + len("Another.")
    assert socket.receive(REFUSED) == 0 == socket.send({"text": "More.", "context_id": "three"})


def test_what_was_said_to_its_end_or_may_have_been_stays_on_the_bill() -> None:
    ended, untold = sent("Half of it. "), sent("Half of it. ")
    ended.receive(json.dumps({"audio": None, "isFinal": True, "context_id": "one"}))
    untold.receive(sound(None))
    assert (ended.receive(REFUSED), untold.receive(REFUSED)) == (0, 0)


def test_what_was_not_sent_is_not_taken_back_twice() -> None:
    socket = sent("Half of it. ", "The other half. ")
    socket.unsent(len(" The other half."))
    assert socket.receive(REFUSED) == len("Half of it.")


def test_another_error_and_what_is_no_message_take_nothing_back() -> None:
    socket = sent("Half of it. ")
    told = [socket.receive(text) for text in ("", "[]", "no json", json.dumps({"error": "internal_error"}))]
    assert told == [0] * 4 and socket.receive(REFUSED) == len("Half of it.")
