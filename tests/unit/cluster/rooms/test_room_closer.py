"""A closed room stays closed when the aggregator starts again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.rooms.room_closer import RoomCloser

NOW_S = 1_780_000_000.0


async def test_a_room_stays_closed_over_a_restart(tmp_path: Path) -> None:
    closer = RoomCloser(tmp_path / "closed_rooms.jsonl", lambda: NOW_S)
    await closer.close("tenant_acme_a", "job", NOW_S - 5)
    again = RoomCloser(tmp_path / "closed_rooms.jsonl", lambda: NOW_S)
    for registry in (closer.registry, again.registry):
        assert registry.is_closed("tenant_acme_a", "job", NOW_S - 5)
        assert not registry.is_closed("tenant_acme_a", "job", NOW_S)


async def test_a_token_is_dead_even_where_its_closing_cannot_be_written(tmp_path: Path) -> None:
    closer = RoomCloser(tmp_path / "below" / "closed_rooms.jsonl", lambda: NOW_S)
    (tmp_path / "below" / "closed_rooms.jsonl").unlink()
    (tmp_path / "below").rmdir()
    with pytest.raises(OSError, match="closed_rooms"):
        await closer.close("tenant_acme_a", "job", NOW_S)
    assert closer.registry.is_closed("tenant_acme_a", "job", NOW_S)
