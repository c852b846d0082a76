"""Rooms wait for their next look, each once and at its earliest time."""

from __future__ import annotations

import pytest

from cluster.dispatch import due_rooms
from cluster.dispatch.due_rooms import DueRooms


def test_a_room_is_due_once_at_its_earliest_time() -> None:
    due = DueRooms()
    due.add("a", 5.0)
    due.add("b", 3.0)
    due.add("a", 2.0)
    due.add("a", 9.0)
    assert due.next_s() == 2.0 and due.pop(1.9) is None
    assert [due.pop(10.0), due.pop(10.0), due.pop(10.0)] == ["a", "b", None]


def test_a_discarded_room_is_not_due() -> None:
    due = DueRooms()
    due.add("a", 1.0)
    due.discard("a")
    assert due.pop(2.0) is None and due.next_s() is None


def test_rooms_beyond_the_bound_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_rooms, "MAX_ROOMS", 2)
    due = DueRooms()
    for room in "abc":
        due.add(room, 1.0)
    assert len(due) == 2 and due.dropped == 1


def test_the_queue_does_not_grow_when_rooms_are_moved_forward_again_and_again() -> None:
    due = DueRooms()
    for number in range(10_000):
        due.add("a", 10_000.0 - number)
    assert len(due._heap) < 2_000 and due.pop(10_000.0) == "a" and due.pop(10_000.0) is None
