"""Knows the people in a room: who is there, and what each is called. Agents are none."""

from __future__ import annotations

from livekit import rtc

from room_agent.address import Person
from room_agent.fence import clean_name


class People:
    """Those of one room, as it is now."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room

    def __contains__(self, identity: str) -> bool:
        return identity in self._room.remote_participants

    def all(self) -> list[Person]:
        agent = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        people = [one for one in self._room.remote_participants.values() if one.kind != agent]
        return [Person(identity=one.identity, name=one.name) for one in people]

    def is_agent(self, identity: str) -> bool:
        participant = self._room.remote_participants.get(identity)
        return participant is not None and participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT

    def name(self, identity: str) -> str:
        participant = self._room.remote_participants.get(identity)
        return clean_name((participant.name if participant is not None else "") or identity)
