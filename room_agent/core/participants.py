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
CALLED_S = 60.0
"""The time in which people may still call a former participant: a dropped connection is not noticed at once."""
MOST_GONE = 64


class Participants:
    """The people of one room, as it is now, and the names of former ones: their remarks are still quoted."""

    def __init__(self, room: rtc.Room, clock: Callable[[], float]) -> None:
        self._room = room
        self._clock = clock
        self._gone = FormerParticipants()
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
        people = [one for one in self._room.remote_participants.values() if not _is_agent(one)]
        return [Person(identity=one.identity, name=one.name or one.identity) for one in people]

    def gone(self) -> list[Person]:
        """Return the people that left so recently that others may still call them."""
        return [one for one in self._gone.lately(self._clock()) if one.identity not in self]

    def is_agent(self, identity: str) -> bool:
        participant = self._room.remote_participants.get(identity)
        return participant is not None and _is_agent(participant)

    def name(self, identity: str) -> str:
        """Return the display name, cleaned for prompts and captions; without one, the identity."""
        participant = self._room.remote_participants.get(identity)
        name = participant.name if participant is not None else self._gone.name(identity)
        return clean_name(name or identity)

    def _on_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        if _is_agent(participant):
            self._gone.add_agent(participant.identity, participant.name)
        else:
            self._gone.add(participant.identity, participant.name, self._clock())


def _is_agent(participant: rtc.RemoteParticipant) -> bool:
    return bool(participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT)


class AbsenceTracker:
    """Distinguishes a leave from a reconnect by the length of the absence."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def left(self, missing: set[str], now_s: float) -> set[str]:
        """Record the participants missing now; return those missing long enough to count as gone."""
        self._since_s = {one: self._since_s.get(one, now_s) for one in missing}
        return {one for one, since_s in self._since_s.items() if now_s - since_s >= LEFT_S}


@dataclass(frozen=True, slots=True)
class _FormerParticipant:
    name: str
    left_at_s: float | None
    """None for an agent: people do not call one that left."""


class FormerParticipants:
    """The names of the last `MOST_GONE` participants to leave, and their times of leaving."""

    def __init__(self) -> None:
        self._gone: FIFOCache[str, _FormerParticipant] = FIFOCache(MOST_GONE)

    def add(self, identity: str, name: str, at_s: float) -> None:
        """Record that somebody left."""
        self._gone[identity] = _FormerParticipant(name, at_s)

    def add_agent(self, identity: str, name: str) -> None:
        """Record that an agent left."""
        self._gone[identity] = _FormerParticipant(name, None)

    def name(self, identity: str) -> str | None:
        gone = self._gone.get(identity)
        return gone.name if gone is not None else None

    def lately(self, now_s: float) -> list[Person]:
        """Return the people that left within `CALLED_S`. Somebody without a name is called by the identity."""
        return [
            Person(identity=identity, name=gone.name or identity)
            for identity, gone in self._gone.items()
            if gone.left_at_s is not None and now_s - gone.left_at_s <= CALLED_S
        ]
