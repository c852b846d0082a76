"""Hears the microphones of a room, each by itself and at most so many at once. Knows no answer.

AgentSession links one participant through its RoomIO, and has one speech-to-text stream, one detector and one turn;
in a meeting the second voice would be unheard. So each microphone has its own here, and the session only speaks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from livekit import rtc

from room_agent.audio.microphone import HOLD_S
from room_agent.audio.pcm import RATE_HZ, WINDOW_S
from room_agent.core.tasks import log_task_end

LEAVING_S = 3.5
"""How long a microphone that went is still listened to for what was just said into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMicrophone:
    """A participant's microphone, as the room tells of it."""

    sid: str
    identity: str
    muted: bool


M = TypeVar("M", bound=PublishedMicrophone)


def share(live: Iterable[M], heard: Container[str], most: int) -> list[M]:
    """Return which to hear: one microphone of each participant, then a second one of each, and so on.

    Among equals those `heard` already stay, then the first ones come. A muted one stays where a place is left over.
    """
    wanted = [one for one in live if not one.muted or one.sid in heard]
    wanted.sort(key=lambda one: (one.muted, one.sid not in heard))
    rounds: Counter[str] = Counter()
    ranked: list[tuple[bool, int, int]] = []
    for at, one in enumerate(wanted):
        ranked.append((one.muted, rounds[one.identity], at))
        rounds[one.identity] += 1
    return [wanted[at] for _, _, at in sorted(ranked)[:most]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(PublishedMicrophone):
    """A participant's microphone, and its sound."""

    track: rtc.Track
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once there is nothing more to come of it."""


class MicrophoneTracks:
    """The microphones of one room, at most so many at once, shared among those who have one."""

    def __init__(self, most: int, listen: Callable[[Source], Coroutine[Any, Any, None]]) -> None:
        self._most = most
        self._listen = listen
        self._heard: dict[str, tuple[Source, asyncio.Task[None]]] = {}
        self._leaving: dict[asyncio.Task[None], asyncio.TimerHandle] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._heard)

    def follow(self, room: rtc.Room) -> None:
        """Bring what is heard in line with the room as it is now.

        A muted microphone is kept for as long as its place is not needed: who presses to talk has just asked something.
        """
        live = list(_microphones(room))
        chosen = {one.sid: one for one in share(live, self._heard, self._most)}
        for sid in [sid for sid, (_, task) in self._heard.items() if sid not in chosen or task.done()]:
            self._let_go(*self._heard.pop(sid))
        for sid, one in chosen.items():
            if sid not in self._heard:
                task = asyncio.create_task(self._listen(one), name=f"microphone {sid}")
                task.add_done_callback(log_task_end)
                self._heard[sid] = one, task
        self.refused = sum(not one.muted and one.sid not in chosen for one in live)

    async def aclose(self) -> None:
        tasks = {*(task for _, task in self._heard.values()), *self._leaving}
        self._heard = {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2 * HOLD_S)

    def _let_go(self, source: Source, task: asyncio.Task[None]) -> None:
        """Have a microphone tell what was just said into it, within its time, and with at most so many others."""
        source.gone.set()
        if task.done():
            return
        if len(self._leaving) >= self._most:
            next(iter(self._leaving)).cancel()
        self._leaving[task] = asyncio.get_running_loop().call_later(LEAVING_S, task.cancel)
        task.add_done_callback(lambda task: self._leaving.pop(task).cancel())


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
