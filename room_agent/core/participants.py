"""Lists the people in a room and, for a while, the former ones. Agents do not count as people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cachetools import FIFOCache
from livekit import rtc

from room_agent.core.models import Person
from room_agent.text.quoting import clean_name

LEFT_S = 10.0
"""The absence after which a participant counts as gone. A shorter one may be a reconnect."""
CALLABLE_S = 60.0
"""The time in which people may still call a former participant: a dropped connection is not noticed at once."""
MAX_FORMER = 64


class Participants:
    """The people of one room, as it is now, and the names of former ones: their remarks are still quoted."""

    def __init__(self, room: rtc.Room, clock: Callable[[], float]) -> None:
        self._room = room
        self._clock = clock
        self._former = FormerParticipants()
        room.on("participant_disconnected", self._on_disconnected)

    def __contains__(self, identity: object) -> bool:
        return identity in self._room.remote_participants

    def missing(self, identities: Iterable[str]) -> set[str]:
        """Return those of `identities` that are not in the room; none while the agent itself is disconnected."""
        # While the agent reconnects its list of participants is empty: nobody has left because of that.
        if self._room.connection_state != rtc.ConnectionState.CONN_CONNECTED:
            return set()
        return {identity for identity in identities if identity not in self}

    def all(self) -> list[Person]:
        """Return the people in the room. Somebody without a name is shown, and called, by the identity."""
        participants = [
            participant for participant in self._room.remote_participants.values() if not _is_agent(participant)
        ]
        return [
            Person(identity=participant.identity, name=participant.name or participant.identity)
            for participant in participants
        ]

    def former(self) -> list[Person]:
        """Return the people that left so recently that others may still call them."""
        return [participant for participant in self._former.recent(self._clock()) if participant.identity not in self]

    def is_agent(self, identity: str) -> bool:
        participant = self._room.remote_participants.get(identity)
        return participant is not None and _is_agent(participant)

    def name(self, identity: str) -> str:
        """Return the display name, cleaned for prompts and captions; without one, the identity."""
        participant = self._room.remote_participants.get(identity)
        name = participant.name if participant is not None else self._former.name(identity)
        return clean_name(name or identity)

    def _on_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        if _is_agent(participant):
            self._former.add_agent(participant.identity, participant.name)
        else:
            self._former.add(participant.identity, participant.name, self._clock())


def _is_agent(participant: rtc.RemoteParticipant) -> bool:
    return bool(participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT)


class AbsenceTracker:
    """Distinguishes a leave from a reconnect by the length of the absence."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def left(self, missing: set[str], now_s: float) -> set[str]:
        """Record the participants missing now; return those missing long enough to count as gone."""
        self._since_s = {identity: self._since_s.get(identity, now_s) for identity in missing}
        return {identity for identity, since_s in self._since_s.items() if now_s - since_s >= LEFT_S}


@dataclass(frozen=True, slots=True)
class _FormerParticipant:
    name: str
    left_at_s: float | None
    """None for an agent: people do not call one that left."""


class FormerParticipants:
    """The names of the last `MAX_FORMER` participants to leave, and their times of leaving."""

    def __init__(self) -> None:
        self._former: FIFOCache[str, _FormerParticipant] = FIFOCache(MAX_FORMER)

    def add(self, identity: str, name: str, at_s: float) -> None:
        """Record that somebody left."""
        self._former[identity] = _FormerParticipant(name, at_s)

    def add_agent(self, identity: str, name: str) -> None:
        """Record that an agent left."""
        self._former[identity] = _FormerParticipant(name, None)

    def name(self, identity: str) -> str | None:
        former = self._former.get(identity)
        return former.name if former is not None else None

    def recent(self, now_s: float) -> list[Person]:
        """Return the people that left within `CALLABLE_S`. Somebody without a name is called by the identity."""
        return [
            Person(identity=identity, name=former.name or identity)
            for identity, former in self._former.items()
            if former.left_at_s is not None and now_s - former.left_at_s <= CALLABLE_S
        ]
