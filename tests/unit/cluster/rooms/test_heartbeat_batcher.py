"""Concurrent heartbeats are sent in one call, and none is lost or sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from cluster.rooms.heartbeat_batcher import HeartbeatBatcher, HeartbeatReceipt
from routing.errors import CostsUnavailable, RoomClosed
from routing.models import RoomHeartbeat, Spending


class Aggregator:
    """Accepts or fails calls, and returns the number of heartbeats of each tenant as its spend."""

    def __init__(self) -> None:
        self.calls: list[list[RoomHeartbeat]] = []
        self.fails = False
        self.closed: set[str] = set()

    async def beat(self, heartbeats: list[RoomHeartbeat]) -> HeartbeatReceipt:
        if self.fails:
            raise CostsUnavailable
        self.calls.append(heartbeats)
        beats = Counter(heartbeat.tenant_id for heartbeat in heartbeats)
        spent = {heartbeat.room: Spending(month_nanousd=beats[heartbeat.tenant_id]) for heartbeat in heartbeats}
        return HeartbeatReceipt(spent=spent, closed_rooms=frozenset(self.closed))

    def rooms(self) -> list[str]:
        return [heartbeat.room for batch in self.calls for heartbeat in batch]


@pytest.fixture
def aggregator() -> Aggregator:
    return Aggregator()


@pytest.fixture
def batcher(aggregator: Aggregator) -> HeartbeatBatcher:
    return HeartbeatBatcher(aggregator.beat, window_s=0.0)


def heartbeat(room: str, frames_kept: float = 0.0, tenant: str = "acme") -> RoomHeartbeat:
    counters = {"frames_kept": frames_kept}
    return RoomHeartbeat(room=room, tenant_id=tenant, job_id="job-1", beat_at_s=1.0, opened_at_s=0.0, counters=counters)


async def test_concurrent_heartbeats_share_one_call(aggregator: Aggregator, batcher: HeartbeatBatcher) -> None:
    await asyncio.gather(*(batcher.beat(heartbeat(f"room-{number}")) for number in range(50)))
    assert len(aggregator.calls) == 1 and len(set(aggregator.rooms())) == 50
    await batcher.beat(heartbeat("room-51"))
    assert len(aggregator.calls) == 2


async def test_each_heartbeat_returns_the_spend_of_its_own_tenant(
    aggregator: Aggregator, batcher: HeartbeatBatcher
) -> None:
    heartbeats = [
        heartbeat("a"),
        heartbeat("b", tenant="globex"),
        heartbeat("c"),
        heartbeat("d", tenant="globex"),
        heartbeat("e"),
    ]
    spendings = await asyncio.gather(*(batcher.beat(item) for item in heartbeats))
    assert [one and one.month_nanousd for one in spendings] == [3, 2, 3, 2, 3]
    assert len(aggregator.calls) == 1


async def test_only_the_newest_heartbeat_of_a_room_is_sent(aggregator: Aggregator, batcher: HeartbeatBatcher) -> None:
    await asyncio.gather(
        batcher.beat(heartbeat("room", frames_kept=1.0)), batcher.beat(heartbeat("room", frames_kept=2.0))
    )
    assert aggregator.calls == [[heartbeat("room", frames_kept=2.0)]]


async def test_a_failed_call_raises_for_every_caller_and_the_next_call_works(
    aggregator: Aggregator, batcher: HeartbeatBatcher
) -> None:
    aggregator.fails = True
    errors = await asyncio.gather(batcher.beat(heartbeat("a")), batcher.beat(heartbeat("b")), return_exceptions=True)
    assert [type(error) for error in errors] == [CostsUnavailable, CostsUnavailable]
    aggregator.fails = False
    await batcher.beat(heartbeat("a"))
    assert aggregator.rooms() == ["a"]


async def test_a_cancelled_caller_does_not_cancel_the_heartbeats_of_others(
    aggregator: Aggregator, batcher: HeartbeatBatcher
) -> None:
    cancelled, pending = (
        asyncio.create_task(batcher.beat(heartbeat("a"))),
        asyncio.create_task(batcher.beat(heartbeat("b"))),
    )
    await asyncio.sleep(0)
    cancelled.cancel()
    await pending
    assert aggregator.rooms() == ["a", "b"]


@pytest.mark.parametrize(("job_id", "sent_rooms"), [("job-1", []), ("another", ["room"])])
async def test_a_pending_heartbeat_does_not_reopen_a_closed_room(
    aggregator: Aggregator, batcher: HeartbeatBatcher, job_id: str, sent_rooms: list[str]
) -> None:
    pending = asyncio.create_task(batcher.beat(heartbeat("room")))
    await asyncio.sleep(0)
    batcher.drop("room", job_id)
    assert await pending == (Spending(month_nanousd=1) if sent_rooms else None)
    assert aggregator.rooms() == sent_rooms
    await batcher.aclose()


async def test_a_heartbeat_of_a_closed_room_is_refused(aggregator: Aggregator, batcher: HeartbeatBatcher) -> None:
    aggregator.closed.add("room-1")
    results = await asyncio.gather(
        batcher.beat(heartbeat("room-1")), batcher.beat(heartbeat("room-2")), return_exceptions=True
    )
    assert isinstance(results[0], RoomClosed) and results[1] == Spending(month_nanousd=2)
