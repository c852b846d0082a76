"""An agent leaves its room to an older agent of its name, and to nobody else."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc

from room_agent.core.agents import AGENT_NAME_ATTRIBUTE, REPLACES_ATTRIBUTE, WATCHING_ATTRIBUTE
from room_agent.succession import Succession, announce_watching

AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD


def participant(
    identity: str, joined_s: float, kind: int = AGENT, name: str = "rayroom", replaces: str | None = None
) -> Any:
    joined_at = dt.datetime.fromtimestamp(joined_s, dt.UTC)
    everything = {AGENT_NAME_ATTRIBUTE: name} | ({} if replaces is None else {REPLACES_ATTRIBUTE: replaces})
    return SimpleNamespace(identity=identity, kind=kind, joined_at=joined_at, attributes=everything)


@dataclass
class FakeRoom:
    """A room with participants that a test adds; `add` reports them to the registered handler."""

    local_participant: Any
    remote_participants: dict[str, Any] = field(default_factory=dict)
    handlers: dict[str, Callable[..., None]] = field(default_factory=dict)

    def on(self, event: str, handler: Callable[..., None]) -> None:
        self.handlers[event] = handler

    def add(self, one: Any, event: str = "participant_connected") -> None:
        self.remote_participants[one.identity] = one
        self.handlers[event](one)


def started(room: FakeRoom) -> tuple[bool, list[str]]:
    reasons: list[str] = []

    def leave(reason: str, successor: str | None) -> None:
        reasons.append(f"{reason}: {successor}" if successor else reason)

    return Succession(cast(rtc.Room, room), leave).stays(), reasons


def test_the_agent_that_finds_an_older_one_leaves_once() -> None:
    room = FakeRoom(participant("new", 2.0), {"old": participant("old", 1.0)})
    stays, reasons = started(room)
    assert not stays
    room.add(participant("older", 0.0))
    assert reasons == ["older agent present"]


@pytest.mark.parametrize(
    "other",
    [
        participant("rayroom-AJ_1", 1.0, kind=STANDARD),
        participant("another product", 1.0, name="notes"),
        participant("younger", 3.0),
    ],
    ids=lambda other: other.identity,
)
def test_people_other_products_and_younger_agents_move_nobody(other: Any) -> None:
    room = FakeRoom(participant("own", 2.0), {other.identity: other})
    assert started(room) == (True, [])


def test_a_predecessor_leaves_when_its_successor_says_that_it_watches() -> None:
    room = FakeRoom(participant("old", 1.0))
    stays, reasons = started(room)
    successor = participant("new", 2.0, replaces="old")
    room.add(successor)
    assert stays and reasons == []
    successor.attributes[WATCHING_ATTRIBUTE] = "1"
    room.add(successor, "participant_attributes_changed")
    assert reasons == ["successor watches: new"]


async def test_a_successor_announces_that_it_watches_once_it_does() -> None:
    sent: list[dict[str, str]] = []

    async def set_attributes(attributes: dict[str, str]) -> None:
        sent.append(attributes)

    own = participant("new", 2.0, replaces="old")
    own.set_attributes = set_attributes
    watches = asyncio.Event()

    async def watched() -> None:
        await watches.wait()

    announcing = asyncio.create_task(announce_watching(cast(rtc.Room, FakeRoom(own)), watched))
    await asyncio.sleep(0)
    assert sent == []
    watches.set()
    await announcing
    assert sent == [{WATCHING_ATTRIBUTE: "1"}]
    own.attributes.pop(REPLACES_ATTRIBUTE)
    await announce_watching(cast(rtc.Room, FakeRoom(own)), watched)
    assert len(sent) == 1
