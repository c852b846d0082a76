"""Check that a TTS socket's characters are counted once, and deducted if the vendor refuses them."""

from __future__ import annotations

import json
from typing import Any

from room_agent.usage.tts_characters import TtsCharacterCounts

REFUSED = json.dumps({"message": "This request exceeds your quota.", "error": "quota_exceeded", "code": 1008})


def audio_message(text: str | None, context_id: str = "one", **fields: Any) -> str:
    alignment = {"chars": list(text)} if text is not None else None
    return json.dumps({"audio": "AAAA", "alignment": alignment, "contextId": context_id} | fields)


def counts_after(*texts: str) -> TtsCharacterCounts:
    """Return the counts of a socket after the chunks of one text, which is then closed."""
    counts = TtsCharacterCounts()
    for text in (" ", *texts):
        counts.send({"text": text, "context_id": "one"})
    counts.send({"context_id": "one", "close_context": True})
    return counts


def test_a_refusal_deducts_the_characters_without_audio_and_ends_the_count() -> None:
    counts = counts_after("Half of it. ", "The other half. ")
    counts.send({"text": "Another.", "context_id": "two"})
    assert counts.receive(audio_message("Half of it. ")).total() == 0
    assert counts.receive(REFUSED) == {"": len(" The other half.") + len("Another.")}
    assert counts.receive(REFUSED).total() == 0 == counts.send({"text": "More.", "context_id": "three"})


def test_a_text_belongs_to_the_person_of_its_first_message_also_where_it_is_refused() -> None:
    counts, one, two = TtsCharacterCounts(), {"context_id": "one"}, {"context_id": "two"}
    counts.send({"text": "For Ann.", **one}, "ann")
    counts.send({"text": "For Bob.", **two}, "bob")
    counts.send({"text": " And more.", **one}, "bob")
    assert (counts.asker(one), counts.asker(two), counts.asker({"context_id": "three"})) == ("ann", "bob", "")
    assert counts.receive(REFUSED) == {"ann": len("For Ann. And more."), "bob": len("For Bob.")}


def test_a_text_that_may_have_been_spoken_stays_billed() -> None:
    ended, unaligned = counts_after("Half of it. "), counts_after("Half of it. ")
    ended.receive(json.dumps({"audio": None, "isFinal": True, "context_id": "one"}))
    unaligned.receive(audio_message(None))
    assert (ended.receive(REFUSED).total(), unaligned.receive(REFUSED).total()) == (0, 0)


def test_unsent_characters_are_not_deducted_twice() -> None:
    counts = counts_after("Half of it. ", "The other half. ")
    counts.unsent({"context_id": "one"}, len(" The other half."))
    assert counts.receive(REFUSED) == {"": len("Half of it.")}


def test_other_errors_and_invalid_messages_deduct_nothing() -> None:
    counts = counts_after("Half of it. ")
    messages = ("", "[]", "no json", json.dumps({"error": "internal_error"}))
    assert [counts.receive(text).total() for text in messages] == [0] * 4
    assert counts.receive(REFUSED) == {"": len("Half of it.")}
