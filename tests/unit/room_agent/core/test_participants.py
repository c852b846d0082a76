"""Who left, and who is only missing until their connection is set up anew."""

from __future__ import annotations

from room_agent.core.models import Person
from room_agent.core.participants import LEFT_S, MOST_GONE, AbsenceTracker, FormerParticipants


def test_who_is_missing_for_long_has_left_and_who_comes_back_in_time_has_not() -> None:
    absences = AbsenceTracker()
    assert absences.left({"ann", "bob"}, 100.0) == set()
    assert absences.left({"bob"}, 99.9 + LEFT_S) == set()
    assert absences.left({"ann", "bob"}, 100.0 + LEFT_S) == {"bob"}
    assert absences.left({"ann"}, 199.9 + LEFT_S) == {"ann"}


def test_who_was_back_is_missing_from_the_next_time_they_go() -> None:
    absences = AbsenceTracker()
    absences.left({"ann"}, 0.0)
    absences.left(set(), LEFT_S - 1)
    assert absences.left({"ann"}, LEFT_S + 1) == set() and absences.left({"ann"}, 2 * LEFT_S + 1) == {"ann"}


def test_who_left_may_be_called_for_a_while_and_keeps_their_name_for_longer() -> None:
    gone = FormerParticipants()
    gone.add("p-bob", "Bob", 10.0)
    gone.add("p-cat", "", 20.0)
    gone.add_agent("p-bot", "Helper")
    assert gone.lately(70.0) == [Person("p-bob", "Bob"), Person("p-cat", "p-cat")]
    assert gone.lately(70.1) == [Person("p-cat", "p-cat")]
    assert gone.name("p-bob") == "Bob" and gone.name("p-bot") == "Helper" and gone.name("p-dan") is None


def test_of_the_many_who_left_the_last_are_remembered() -> None:
    gone = FormerParticipants()
    for number in range(3 * MOST_GONE):
        gone.add(f"p-{number}", "Bob", float(number))
    assert len(gone.lately(0.0)) == MOST_GONE and gone.name("p-0") is None
