"""Knows the people in a room: who is there, and what each is or was called. Agents are none."""

from __future__ import annotations

from livekit import rtc

from room_agent.address import Person
from room_agent.fence import clean_name

MOST_GONE = 64


class People:
    """Those of one room, as it is now; of those who have just left their names, for what they said is told later."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._gone: dict[str, str] = {}
        room.on("participant_disconnected", self._leaves)

    def __contains__(self, identity: str) -> bool:
        return identity in self._room.remote_participants

    def all(self) -> list[Person]:
        agent = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        people = [one for one in self._room.remote_participants.values() if one.kind != agent]
        return [Person(identity=one.identity, name=one.name) for one in people]

    def name(self, identity: str) -> str:
        participant = self._room.remote_participants.get(identity)
        name = participant.name if participant is not None else self._gone.get(identity)
        return clean_name(name or identity)

    def _leaves(self, participant: rtc.RemoteParticipant) -> None:
        self._gone.pop(participant.identity, None)
        self._gone[participant.identity] = participant.name
        if len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
