"""Hears the microphones of a room, each by itself and at most so many at once. Knows no answer.

AgentSession links one participant through its RoomIO, and has one speech-to-text stream, one detector and one turn;
in a meeting the second voice would be unheard. So each microphone has its own here, and the session only speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from livekit import rtc

from room_agent.microphone import HOLD_S, say_why_it_ended
from room_agent.windows import RATE_HZ, WINDOW_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A participant's microphone, as the room knows it."""

    sid: str
    identity: str
    muted: bool
    track: rtc.Track


class Microphones:
    """The microphones of one room, at most so many at once; the first to be on are heard."""

    def __init__(self, most: int, listen: Callable[[Source], Coroutine[Any, Any, None]]) -> None:
        self._most = most
        self._listen = listen
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def follow(self, room: rtc.Room) -> None:
        """Bring what is heard in line with the room as it is now.

        A muted microphone is kept for as long as its place is not needed: who presses to talk has just asked something.
        """
        live = {one.sid: one for one in _microphones(room)}
        for sid in [sid for sid, task in self._tasks.items() if sid not in live or task.done()]:
            self._tasks.pop(sid).cancel()
        waiting = [one for one in live.values() if not one.muted and one.sid not in self._tasks]
        muted = [sid for sid in self._tasks if live[sid].muted]
        for one in waiting:
            if len(self._tasks) >= self._most and muted:
                self._tasks.pop(muted.pop(0)).cancel()
            if len(self._tasks) < self._most:
                self._tasks[one.sid] = asyncio.create_task(self._listen(one), name=f"microphone {one.sid}")
                self._tasks[one.sid].add_done_callback(say_why_it_ended)
        self.refused = sum(one.sid not in self._tasks for one in waiting)

    async def aclose(self) -> None:
        tasks, self._tasks = set(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2 * HOLD_S)


def frames_of(track: rtc.Track) -> rtc.AudioStream:
    """Return a track's sound as the detector takes it; one window of it a frame, with room for two seconds."""
    window_ms = round(1_000 * WINDOW_S)
    return rtc.AudioStream.from_track(
        track=track, sample_rate=RATE_HZ, num_channels=1, capacity=round(2 / WINDOW_S), frame_size_ms=window_ms
    )


def _microphones(room: rtc.Room) -> Iterator[Source]:
    for participant in room.remote_participants.values():
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            continue
        for publication in participant.track_publications.values():
            track = publication.track
            if publication.source == rtc.TrackSource.SOURCE_MICROPHONE and track is not None:
                yield Source(sid=publication.sid, identity=participant.identity, muted=publication.muted, track=track)
