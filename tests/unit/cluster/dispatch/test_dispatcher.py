"""The dispatcher looks at every room after an event, a few rooms at a time, and survives a LiveKit that fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from cluster.dispatch import dispatcher
from cluster.dispatch.dispatcher import CONCURRENT_LOOKS, Dispatcher
from cluster.dispatch.livekit_rooms import ListedRoom, LiveKitUnavailable
from cluster.dispatch.metrics import DispatchMetrics
from cluster.dispatch.models import CreateDispatch, RoomSnapshot, Step
from room_agent.core.agents import PresentAgent
from routing.rooms import RoomName


@dataclass
class InstantRooms:
    """Rooms with one person each, where a dispatch brings its agent at once."""

    names: list[str]
    failures: int = 0
    created: list[str] = field(default_factory=list)
    looking: int = 0
    most_looking: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def list_rooms(self) -> dict[str, ListedRoom]:
        if self.failures:
            self.failures -= 1
            raise LiveKitUnavailable
        return {name: ListedRoom("RM_1", 1) for name in self.names}

    async def snapshot(self, name: RoomName) -> RoomSnapshot | None:
        self.looking += 1
        self.most_looking = max(self.most_looking, self.looking)
        await asyncio.sleep(0)
        self.looking -= 1
        agents = (PresentAgent(identity="rayroom-1", joined_at_ms=1),) if name.room in self.created else ()
        return RoomSnapshot(name=name, people=1, agents=agents)

    async def apply(self, room: str, step: Step) -> None:
        assert isinstance(step, CreateDispatch)
        self.created.append(room)
        self.changed.set()


async def dispatched(rooms: InstantRooms, number: int) -> None:
    """Run a dispatcher until so many agents were dispatched."""
    running = asyncio.create_task(Dispatcher(rooms, DispatchMetrics()).run())
    async with asyncio.timeout(20):
        while len(rooms.created) < number:
            await rooms.changed.wait()
            rooms.changed.clear()
    running.cancel()
    await asyncio.wait({running})


async def test_two_hundred_rooms_opened_at_once_get_one_dispatch_each() -> None:
    names = [f"tenant_acme_{number}" for number in range(200)]
    rooms = InstantRooms(["lobby", *names, "tenant_acme"])
    await dispatched(rooms, len(names))
    assert sorted(rooms.created) == sorted(names)
    assert rooms.most_looking == CONCURRENT_LOOKS


async def test_a_livekit_that_fails_for_a_while_is_polled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "POLL_S", 0.001)
    monkeypatch.setattr(dispatcher, "LONGEST_PAUSE_S", 0.001)
    rooms = InstantRooms(["tenant_acme_x"], failures=5)
    await dispatched(rooms, 1)
    assert rooms.failures == 0 and rooms.created == ["tenant_acme_x"]
