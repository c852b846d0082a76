"""A leave is distinguished from a reconnect, and the names of former participants are kept for a while."""

from __future__ import annotations

from livekit import rtc

from room_agent.core.models import Person
from room_agent.core.participants import (
    CALLABLE_S,
    LEFT_S,
    MAX_FORMER,
    AbsenceTracker,
    FormerParticipants,
    Participants,
)
from tests.unit.room_agent.offline import Clock, OfflineRoom


def test_a_long_absence_is_a_leave_and_a_short_one_is_not() -> None:
    absences = AbsenceTracker()
    assert absences.left({"ann", "bob"}, 100.0) == set()
    assert absences.left({"bob"}, 99.9 + LEFT_S) == set()
    assert absences.left({"ann", "bob"}, 100.0 + LEFT_S) == {"bob"}
    assert absences.left({"ann"}, 199.9 + LEFT_S) == {"ann"}


def test_a_return_restarts_the_absence() -> None:
    absences = AbsenceTracker()
    absences.left({"ann"}, 0.0)
    absences.left(set(), LEFT_S - 1)
    assert absences.left({"ann"}, LEFT_S + 1) == set() and absences.left({"ann"}, 2 * LEFT_S + 1) == {"ann"}


def test_a_former_participant_may_be_called_for_a_while_and_keeps_their_name_for_longer() -> None:
    former = FormerParticipants()
    former.add("p-bob", "Bob", 10.0)
    former.add("p-cat", "", 20.0)
    former.add_agent("p-bot", "Helper")
    assert former.recent(70.0) == [Person("p-bob", "Bob"), Person("p-cat", "p-cat")]
    assert former.recent(70.1) == [Person("p-cat", "p-cat")]
    assert former.name("p-bob") == "Bob" and former.name("p-bot") == "Helper" and former.name("p-dan") is None


def test_the_number_of_remembered_former_participants_is_bounded() -> None:
    former = FormerParticipants()
    for number in range(3 * MAX_FORMER):
        former.add(f"p-{number}", "Bob", float(number))
    assert len(former.recent(0.0)) == MAX_FORMER and former.name("p-0") is None


def test_a_participant_who_leaves_again_is_forgotten_last() -> None:
    former = FormerParticipants()
    former.add("p-ann", "Ann", 0.0)
    former.add("p-bob", "Bob", 0.0)
    former.add("p-ann", "Ann", 1.0)
    for number in range(MAX_FORMER - 1):
        former.add(f"p-{number}", "Cat", 1.0)
    assert former.name("p-ann") == "Ann" and former.name("p-bob") is None


def test_an_agent_with_the_identity_of_a_former_participant_cannot_be_called() -> None:
    former = FormerParticipants()
    former.add("p-x", "Xenia", 0.0)
    former.add_agent("p-x", "Helper")
    assert former.recent(0.0) == [] and former.name("p-x") == "Helper"


def test_nobody_is_missing_while_the_agent_itself_is_disconnected() -> None:
    room = OfflineRoom()
    participants = Participants(room.as_room, Clock())
    room.add("p-ann", "Ann")
    assert participants.missing({"p-ann", "p-bob"}) == {"p-bob"}
    room.connection_state = rtc.ConnectionState.CONN_RECONNECTING
    assert participants.missing({"p-ann", "p-bob"}) == set()


def test_participants_are_listed_without_agents_and_named_after_they_left() -> None:
    room, clock = OfflineRoom(), Clock()
    participants = Participants(room.as_room, clock)
    ann, bot = room.add("p-ann", "Ann"), room.add("p-bot", "Helper")
    room.add("p-7")
    bot.kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    assert participants.all() == [Person("p-ann", "Ann"), Person("p-7", "p-7")] and participants.is_agent("p-bot")
    for participant in (ann, bot):
        del room.remote_participants[participant.identity]
        room.emit("participant_disconnected", participant)
    assert participants.former() == [Person("p-ann", "Ann")] and participants.name("p-ann") == "Ann"
    assert participants.name("p-nobody") == "p-nobody"
    clock.now_s += CALLABLE_S + 0.1
    assert participants.former() == [] and participants.name("p-bot") == "Helper"
