"""Heartbeats that come together go together, and none is lost or told twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from cluster.rooms.heartbeat_batcher import HeartbeatBatcher, HeartbeatReceipt
from routing.errors import CostsUnavailable, RoomClosed
from routing.models import RoomHeartbeat


class Aggregator:
    """Takes calls, or fails them; says of each tenant how often it was told of it."""

    def __init__(self) -> None:
        self.calls: list[list[RoomHeartbeat]] = []
        self.fails = False
        self.closed: set[str] = set()

    async def beat(self, beats: list[RoomHeartbeat]) -> HeartbeatReceipt:
        if self.fails:
            raise CostsUnavailable
        self.calls.append(beats)
        return HeartbeatReceipt(
            spent_nanousd=Counter(beat.tenant_id for beat in beats), closed_rooms=frozenset(self.closed)
        )

    def rooms(self) -> list[str]:
        return [beat.room for call in self.calls for beat in call]


@pytest.fixture
def aggregator() -> Aggregator:
    return Aggregator()


@pytest.fixture
def beats(aggregator: Aggregator) -> HeartbeatBatcher:
    return HeartbeatBatcher(aggregator.beat, gather_s=0.0)


def of(room: str, kept: float = 0.0, tenant: str = "acme") -> RoomHeartbeat:
    counters = {"frames_kept": kept}
    return RoomHeartbeat(room=room, tenant_id=tenant, job_id="job-1", beat_at_s=1.0, opened_at_s=0.0, counters=counters)


async def test_beats_of_one_moment_are_one_call(aggregator: Aggregator, beats: HeartbeatBatcher) -> None:
    await asyncio.gather(*(beats.beat(of(f"room-{number}")) for number in range(50)))
    assert len(aggregator.calls) == 1 and len(set(aggregator.rooms())) == 50
    await beats.beat(of("room-51"))
    assert len(aggregator.calls) == 2


async def test_each_beat_hears_what_was_said_of_its_own_tenant(aggregator: Aggregator, beats: HeartbeatBatcher) -> None:
    rooms = [of("a"), of("b", tenant="globex"), of("c"), of("d", tenant="globex"), of("e")]
    assert await asyncio.gather(*(beats.beat(one) for one in rooms)) == [3, 2, 3, 2, 3]
    assert len(aggregator.calls) == 1


async def test_of_a_rooms_beats_the_newest_goes(aggregator: Aggregator, beats: HeartbeatBatcher) -> None:
    await asyncio.gather(beats.beat(of("room", kept=1.0)), beats.beat(of("room", kept=2.0)))
    assert aggregator.calls == [[of("room", kept=2.0)]]


async def test_a_call_that_fails_is_told_to_all_who_wait_and_the_next_is_made(
    aggregator: Aggregator, beats: HeartbeatBatcher
) -> None:
    aggregator.fails = True
    ends = await asyncio.gather(beats.beat(of("a")), beats.beat(of("b")), return_exceptions=True)
    assert [type(end) for end in ends] == [CostsUnavailable, CostsUnavailable]
    aggregator.fails = False
    await beats.beat(of("a"))
    assert aggregator.rooms() == ["a"]


async def test_who_stops_waiting_takes_nobody_elses_beat_along(aggregator: Aggregator, beats: HeartbeatBatcher) -> None:
    leaving, staying = asyncio.create_task(beats.beat(of("a"))), asyncio.create_task(beats.beat(of("b")))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert aggregator.rooms() == ["a", "b"]


@pytest.mark.parametrize(("job_id", "told"), [("job-1", []), ("another", ["room"])])
async def test_a_room_that_its_job_closes_is_not_opened_again_by_a_beat_that_waits(
    aggregator: Aggregator, beats: HeartbeatBatcher, job_id: str, told: list[str]
) -> None:
    beating = asyncio.create_task(beats.beat(of("room")))
    await asyncio.sleep(0)
    beats.drop("room", job_id)
    assert await beating == (1 if told else None)
    assert aggregator.rooms() == told
    await beats.aclose()


async def test_a_heartbeat_of_a_closed_room_is_refused(aggregator: Aggregator, beats: HeartbeatBatcher) -> None:
    aggregator.closed.add("room-1")
    results = await asyncio.gather(beats.beat(of("room-1")), beats.beat(of("room-2")), return_exceptions=True)
    assert isinstance(results[0], RoomClosed) and results[1] == 2
