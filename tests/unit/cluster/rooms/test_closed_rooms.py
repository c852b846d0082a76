"""A closed room is closed for the next aggregator too, for as long as a token of it may be valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.rooms import closed_rooms
from cluster.rooms.closed_rooms import LONGEST_TOKEN_S, ClosedRoom, ClosedRoomFile
from cluster.rooms.registry import RoomRegistry

NOW_S = 1_780_000_000.0


def closing(room: str = "tenant_acme_a", opened_at_s: float = NOW_S) -> ClosedRoom:
    return ClosedRoom(room=room, job_id="job", opened_at_s=opened_at_s)


def test_a_closing_is_read_by_the_next_process(tmp_path: Path) -> None:
    file = ClosedRoomFile(tmp_path / "below" / "closed_rooms.jsonl")
    assert file.read(NOW_S) == []
    file.add(closing(), NOW_S)
    assert ClosedRoomFile(tmp_path / "below" / "closed_rooms.jsonl").read(NOW_S) == [closing()]


def test_a_registry_that_starts_with_a_closing_refuses_its_token_and_takes_a_newer_one() -> None:
    registry = RoomRegistry.with_closed([closing()])
    assert registry.is_closed("tenant_acme_a", "job", NOW_S)
    assert not registry.is_closed("tenant_acme_a", "job", NOW_S + 1) and not registry.is_closed("other", "job", NOW_S)


def test_the_last_closing_of_a_job_counts_and_one_of_dead_tokens_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "closed_rooms.jsonl"
    file = ClosedRoomFile(path)
    file.read(NOW_S)
    for closed in (closing("old", NOW_S - LONGEST_TOKEN_S), closing(), closing(opened_at_s=NOW_S + 5)):
        file.add(closed, NOW_S)
    assert file.read(NOW_S + 1) == [closing(opened_at_s=NOW_S + 5)]
    assert len(path.read_text("utf-8").splitlines()) == 1


def test_a_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "closed_rooms.jsonl"
    ClosedRoomFile(path).add(closing(), NOW_S)
    with path.open("a") as file:
        file.write('{"room": "tenant_ac')
    assert ClosedRoomFile(path).read(NOW_S) == [closing()]


def test_the_file_is_written_again_when_it_has_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_rooms, "MAX_LINES", 3)
    file = ClosedRoomFile(tmp_path / "closed_rooms.jsonl")
    for second in range(10):
        file.add(closing(opened_at_s=NOW_S + second), NOW_S)
    assert len((tmp_path / "closed_rooms.jsonl").read_text("utf-8").splitlines()) <= 3
    assert file.read(NOW_S) == [closing(opened_at_s=NOW_S + 9)]
