"""Knows the people in a room: who is there, and what each is or was called. Agents are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from livekit import rtc

from room_agent.intent.addressee import Person
from room_agent.text.quoting import clean_name

LEFT_S = 10.0
"""How long somebody is missing until they count as gone: a connection that is set up anew is no leave."""
CALLED_S = 60.0
"""How long somebody who is no longer there may still be called: it is not noticed at once that they dropped out."""
MOST_GONE = 64


class Participants:
    """Those of one room, as it is now; of those who have just left their names, for what they said is told later."""

    def __init__(self, room: rtc.Room, clock: Callable[[], float]) -> None:
        self._room = room
        self._clock = clock
        self._gone = FormerParticipants()
        room.on("participant_disconnected", self._leaves)

    def __contains__(self, identity: object) -> bool:
        return identity in self._room.remote_participants

    def missing(self, wanted: Iterable[str]) -> set[str]:
        """Return who of those is not there; nobody while the agent itself is away, since then it sees none."""
        if self._room.connection_state != rtc.ConnectionState.CONN_CONNECTED:
            return set()
        return {one for one in wanted if one not in self}

    def all(self) -> list[Person]:
        """Return them; who has no name is called, as shown, by their identity."""
        agent = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        people = [one for one in self._room.remote_participants.values() if one.kind != agent]
        return [Person(identity=one.identity, name=one.name or one.identity) for one in people]

    def gone(self) -> list[Person]:
        """Return who has left so lately that they may still be called."""
        return [one for one in self._gone.lately(self._clock()) if one.identity not in self]

    def is_agent(self, identity: str) -> bool:
        participant = self._room.remote_participants.get(identity)
        return participant is not None and participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT

    def name(self, identity: str) -> str:
        participant = self._room.remote_participants.get(identity)
        name = participant.name if participant is not None else self._gone.name(identity)
        return clean_name(name or identity)

    def _leaves(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._gone.add_agent(participant.identity, participant.name)
        else:
            self._gone.add(participant.identity, participant.name, self._clock())


class AbsenceTracker:
    """Tells who left from who will be back in a moment."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def left(self, missing: set[str], now_s: float) -> set[str]:
        """Take in who is missing now; return who has been for so long that they count as gone."""
        self._since_s = {one: self._since_s.get(one, now_s) for one in missing}
        return {one for one, since_s in self._since_s.items() if now_s - since_s >= LEFT_S}


class FormerParticipants:
    """Remembers what those who left were called, the last of them, and when they left."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._left_at_s: dict[str, float] = {}

    def add(self, identity: str, name: str, at_s: float) -> None:
        """Take in that somebody left."""
        self.add_agent(identity, name)
        self._left_at_s[identity] = at_s

    def add_agent(self, identity: str, name: str) -> None:
        """Take in that an agent left, whom nobody calls."""
        for known in (self._names, self._left_at_s):
            known.pop(identity, None)
        self._names[identity] = name
        if len(self._names) > MOST_GONE:
            first = next(iter(self._names))
            del self._names[first]
            self._left_at_s.pop(first, None)

    def name(self, identity: str) -> str | None:
        return self._names.get(identity)

    def lately(self, now_s: float) -> list[Person]:
        """Return who may still be called; who has no name is called by their identity."""
        lately = [one for one, left_at_s in self._left_at_s.items() if now_s - left_at_s <= CALLED_S]
        return [Person(identity=one, name=self._names[one] or one) for one in lately]
