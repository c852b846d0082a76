"""Who left, and who is only missing until their connection is set up anew."""

from __future__ import annotations

from room_agent.people import LEFT_S, Absences


def test_who_is_missing_for_long_has_left_and_who_comes_back_in_time_has_not() -> None:
    absences = Absences()
    assert absences.left({"ann", "bob"}, 100.0) == set()
    assert absences.left({"bob"}, 99.9 + LEFT_S) == set()
    assert absences.left({"ann", "bob"}, 100.0 + LEFT_S) == {"bob"}
    assert absences.left({"ann"}, 199.9 + LEFT_S) == {"ann"}


def test_who_was_back_is_missing_from_the_next_time_they_go() -> None:
    absences = Absences()
    absences.left({"ann"}, 0.0)
    absences.left(set(), LEFT_S - 1)
    assert absences.left({"ann"}, LEFT_S + 1) == set() and absences.left({"ann"}, 2 * LEFT_S + 1) == {"ann"}
