"""Keep one agent a room: leave it to an older agent of the same name, or to a successor once it watches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from livekit import rtc
from livekit.rtc.room import EventTypes

from room_agent.core.agents import (
    AGENT_NAME_ATTRIBUTE,
    REPLACES_ATTRIBUTE,
    WATCHING_ATTRIBUTE,
    PresentAgent,
    departure_reason,
    watching_successor,
)

WATCH_TIMEOUT_S = 10.0
"""A successor whose presenters send no frame for so long counts as watching."""
SEND_TIMEOUT_S = 5.0

_EVENTS: tuple[EventTypes, ...] = ("participant_connected", "participant_attributes_changed", "reconnected")

log = structlog.get_logger()


class Succession:
    """The agents of one room as one of them sees them.

    `leave` is called once, with the reason and with the identity of the successor that watches the room, if one does.
    """

    def __init__(self, room: rtc.Room, leave: Callable[[str, str | None], None]) -> None:
        self._room = room
        self._leave = leave
        self._left = False

    def stays(self) -> bool:
        """Return whether this agent stays for now, and follow the room's agents from now on."""
        for event in _EVENTS:
            self._room.on(event, self._check)
        self._check()
        return not self._left

    def _check(self, *_: Any) -> None:
        own = _present(self._room.local_participant)
        name = self._room.local_participant.attributes.get(AGENT_NAME_ATTRIBUTE)
        others = [_present(one) for one in self._room.remote_participants.values() if _is_agent(one, name)]
        reason = departure_reason(own, others)
        if reason is not None and not self._left:
            self._left = True
            log.info("room left to another agent", reason=reason)
            self._leave(reason, watching_successor(own, others))


async def announce_watching(room: rtc.Room, watching: Callable[[], Awaitable[None]]) -> None:
    """Tell the predecessor that it may leave, as soon as `watching` returns. Without a predecessor do nothing."""
    if not room.local_participant.attributes.get(REPLACES_ATTRIBUTE):
        return
    try:
        async with asyncio.timeout(WATCH_TIMEOUT_S):
            await watching()
    except TimeoutError:
        log.warning("room taken over without a frame")
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await room.local_participant.set_attributes({WATCHING_ATTRIBUTE: "1"})
    except (TimeoutError, OSError) as error:
        log.warning("predecessor not released", error=type(error).__name__)


def _is_agent(participant: rtc.Participant, name: str | None) -> bool:
    is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    return is_agent and participant.attributes.get(AGENT_NAME_ATTRIBUTE) == name


def _present(participant: rtc.Participant) -> PresentAgent:
    joined_at = participant.joined_at
    return PresentAgent(
        identity=participant.identity,
        joined_at_ms=round(joined_at.timestamp() * 1_000) if joined_at is not None else 0,
        replaces=participant.attributes.get(REPLACES_ATTRIBUTE, ""),
        watching=bool(participant.attributes.get(WATCHING_ATTRIBUTE)),
    )
