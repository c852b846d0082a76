"""A call that changes something happens once, after a yes of the person who asked, and never otherwise."""

from __future__ import annotations

import pytest

from room_agent.conversation.tool_client import ListedRoomTool
from room_agent.conversation.tool_confirmation import (
    MAX_SHOWN_CHARS,
    WAIT_S,
    Confirmation,
    ProposedCall,
    decide,
    shown_arguments,
)

TOOL = ListedRoomTool(
    name="shop_cancel", title="Cancel", description="", parameters={"type": "object"}, changes=True, digest="0" * 32
)
CALL = ProposedCall(identity="ann", tool=TOOL, arguments={"order": 5}, call_id="call_1")


def awaiting() -> Confirmation:
    confirmation = Confirmation(("Rayroom",))
    confirmation.propose(CALL)
    confirmation.on_answer_ended(True, 100.0)
    return confirmation


@pytest.mark.parametrize(
    ("identity", "text", "now_s", "decision"),
    [
        ("ann", "Yes.", 10.0, "yes"),
        ("ann", "Yes, Rayroom.", 10.0, "yes"),
        ("ann", "Ja, bitte.", 10.0, "yes"),
        ("ann", "Yes.", 10.1, "no"),
        ("ann", "No.", 1.0, "no"),
        ("ann", "What would that cost?", 1.0, "no"),
        ("bob", "Yes.", 1.0, "not theirs"),
        ("Yes", "Yes.", 1.0, "not theirs"),
    ],
)
def test_only_a_yes_in_time_of_the_person_who_asked_agrees(
    identity: str, text: str, now_s: float, decision: str
) -> None:
    assert decide(CALL, 10.0, identity, text, now_s, ("Rayroom",)) == decision


def test_a_yes_lets_the_call_happen_once() -> None:
    confirmation = awaiting()
    assert confirmation.take("ann", "Yes.", 101.0) == CALL
    assert confirmation.take("ann", "Yes.", 102.0) is None
    assert (confirmation.proposals, confirmation.agreed) == (1, 1)


def test_nobody_elses_yes_counts_and_the_person_may_still_answer() -> None:
    confirmation = awaiting()
    assert confirmation.take("bob", "Yes.", 101.0) is None
    assert confirmation.take("ann", "Yes.", 102.0) == CALL


def test_another_utterance_of_the_person_ends_the_proposal() -> None:
    confirmation = awaiting()
    assert confirmation.take("ann", "Hm, what was it?", 101.0) is None
    assert confirmation.take("ann", "Yes.", 102.0) is None


def test_a_late_yes_is_none() -> None:
    assert awaiting().take("ann", "Yes.", 100.1 + WAIT_S) is None


def test_a_yes_before_the_proposal_was_given_whole_is_none() -> None:
    confirmation = Confirmation()
    confirmation.propose(CALL)
    assert confirmation.take("ann", "Yes.", 99.0) is None
    confirmation.on_answer_ended(True, 100.0)
    assert confirmation.take("ann", "Yes.", 101.0) == CALL


def test_an_interrupted_proposal_is_dropped() -> None:
    confirmation = Confirmation()
    confirmation.propose(CALL)
    confirmation.on_answer_ended(False, 100.0)
    assert confirmation.take("ann", "Yes.", 101.0) is None


def test_the_end_of_a_later_answer_to_somebody_else_does_not_extend_the_time() -> None:
    confirmation = awaiting()
    confirmation.on_answer_ended(True, 125.0)
    assert confirmation.take("ann", "Yes.", 100.1 + WAIT_S) is None


def test_a_proposal_to_a_person_who_left_is_dropped() -> None:
    confirmation = awaiting()
    confirmation.on_left("bob")
    confirmation.on_left("ann")
    assert confirmation.take("ann", "Yes.", 101.0) is None


def test_arguments_are_shown_short_in_one_line() -> None:
    assert shown_arguments({}) == ""
    assert shown_arguments({"order": 5, "note": "to\nBob", "gift": True}) == " (order: 5, note: to Bob, gift: true)"
    long = shown_arguments({f"k{n}": "x" * 500 for n in range(50)})
    assert len(long) <= MAX_SHOWN_CHARS + 3 and "\n" not in long
    assert shown_arguments({f"k{n}": n for n in range(8)}).endswith("k7: 7)")
    assert shown_arguments({f"k{n}": n for n in range(9)}).endswith("k7: 7, …)")
