"""A leave is distinguished from a reconnect, and the names of former participants are kept for a while."""

from __future__ import annotations

from room_agent.core.models import Person
from room_agent.core.participants import LEFT_S, MOST_GONE, AbsenceTracker, FormerParticipants


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


def test_people_who_left_may_be_called_for_a_while_and_keep_their_name_for_longer() -> None:
    gone = FormerParticipants()
    gone.add("p-bob", "Bob", 10.0)
    gone.add("p-cat", "", 20.0)
    gone.add_agent("p-bot", "Helper")
    assert gone.lately(70.0) == [Person("p-bob", "Bob"), Person("p-cat", "p-cat")]
    assert gone.lately(70.1) == [Person("p-cat", "p-cat")]
    assert gone.name("p-bob") == "Bob" and gone.name("p-bot") == "Helper" and gone.name("p-dan") is None


def test_the_last_people_who_left_are_remembered() -> None:
    gone = FormerParticipants()
    for number in range(3 * MOST_GONE):
        gone.add(f"p-{number}", "Bob", float(number))
    assert len(gone.lately(0.0)) == MOST_GONE and gone.name("p-0") is None


def test_somebody_who_leaves_a_second_time_is_forgotten_last() -> None:
    gone = FormerParticipants()
    gone.add("p-ann", "Ann", 0.0)
    gone.add("p-bob", "Bob", 0.0)
    gone.add("p-ann", "Ann", 1.0)
    for number in range(MOST_GONE - 1):
        gone.add(f"p-{number}", "Cat", 1.0)
    assert gone.name("p-ann") == "Ann" and gone.name("p-bob") is None


def test_an_agent_that_takes_over_an_identity_is_not_called() -> None:
    gone = FormerParticipants()
    gone.add("p-x", "Xenia", 0.0)
    gone.add_agent("p-x", "Helper")
    assert gone.lately(0.0) == [] and gone.name("p-x") == "Helper"
