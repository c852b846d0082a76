"""Follows the microphone tracks of a room, each with a stream of its own, up to a limit.

AgentSession links one participant through its RoomIO, and has one STT stream, one VAD and one turn. In a meeting the
second voice would not be transcribed. Here each microphone has its own stream, and the session only speaks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto import ffi_pb2

from room_agent.audio.microphone import KEEP_STREAM_S
from room_agent.audio.pcm import RATE_HZ, WINDOW_S
from room_agent.core.encryption import EncryptedTracks
from room_agent.core.tasks import cancel, log_task_end

LEAVING_S = 3.5
"""How long a removed microphone may take to transcribe the last words spoken into it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMicrophone:
    """A participant's microphone publication."""

    sid: str
    identity: str
    muted: bool


M = TypeVar("M", bound=PublishedMicrophone)


def select(published: Iterable[M], current: Container[str], limit: int) -> list[M]:
    """Return the microphones to transcribe: one of each participant, then a second one of each, and so on.

    Among equals those in `current` stay, then the first published win. A muted one stays while there is space left.
    """
    wanted = [one for one in published if not one.muted or one.sid in current]
    wanted.sort(key=lambda one: (one.muted, one.sid not in current))
    counts: Counter[str] = Counter()
    ranked: list[tuple[bool, int, int]] = []
    for position, one in enumerate(wanted):
        ranked.append((one.muted, counts[one.identity], position))
        counts[one.identity] += 1
    return [wanted[position] for _, _, position in sorted(ranked)[:limit]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrophoneTrack(PublishedMicrophone):
    """A participant's microphone publication and its subscribed track."""

    track: rtc.Track
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once no more audio of it is to be transcribed."""


class MicrophoneTracks:
    """The transcribed microphones of one room, at most `limit`, shared among the participants."""

    def __init__(self, limit: int, transcribe: Callable[[MicrophoneTrack], Coroutine[Any, Any, None]]) -> None:
        self._limit = limit
        self._transcribe = transcribe
        self._active: dict[str, tuple[MicrophoneTrack, asyncio.Task[None]]] = {}
        self._leaving: dict[asyncio.Task[None], asyncio.TimerHandle] = {}
        self._encrypted = EncryptedTracks()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._active)

    def follow(self, room: rtc.Room) -> None:
        """Start and stop streams to match the room's present publications.

        A muted microphone is kept while its space is not needed: with push-to-talk the question ends with the mute.
        """
        published = list(_microphones(room, self._encrypted))
        chosen = {one.sid: one for one in select(published, self._active, self._limit)}
        for sid in [sid for sid, (_, task) in self._active.items() if sid not in chosen or task.done()]:
            self._end(*self._active.pop(sid))
        for sid, one in chosen.items():
            if sid not in self._active:
                task = asyncio.create_task(self._transcribe(one), name=f"microphone {sid}")
                task.add_done_callback(log_task_end)
                self._active[sid] = one, task
        self.refused = sum(not one.muted and one.sid not in chosen for one in published)

    async def aclose(self) -> None:
        tasks = {*(task for _, task in self._active.values()), *self._leaving}
        self._active = {}
        await cancel(tasks, 2 * KEEP_STREAM_S)

    def _end(self, microphone: MicrophoneTrack, task: asyncio.Task[None]) -> None:
        """Let a microphone transcribe its last words within `LEAVING_S`, beside at most `limit` others."""
        microphone.ended.set()
        if task.done():
            return
        if len(self._leaving) >= self._limit:
            next(iter(self._leaving)).cancel()
        self._leaving[task] = asyncio.get_running_loop().call_later(LEAVING_S, task.cancel)
        task.add_done_callback(lambda task: self._leaving.pop(task).cancel())


def audio_stream(track: rtc.Track) -> rtc.AudioStream:
    """Return a track's audio in the detector's format, one window a frame, with a buffer of two seconds."""
    window_ms = round(1_000 * WINDOW_S)
    stream = rtc.AudioStream.from_track(
        track=track, sample_rate=RATE_HZ, num_channels=1, capacity=round(2 / WINDOW_S), frame_size_ms=window_ms
    )
    _receive_own_frames(stream)
    return stream


def _receive_own_frames(stream: rtc.AudioStream) -> None:
    """Keep the frames of other microphones out of a stream's queue.

    Each of livekit-rtc's streams takes the audio events of all, and drops those of the others: with four microphones
    the event loop would wake four times for each window. The names are not public; a version without them stays as is.
    """
    try:
        all_frames, handle = stream._ffi_queue, stream._ffi_handle.handle
    except AttributeError as error:
        log.warning("audio events not filtered", error=type(error).__name__)
        return

    def is_own(event: ffi_pb2.FfiEvent) -> bool:
        return event.WhichOneof("message") == "audio_stream_event" and event.audio_stream_event.stream_handle == handle

    # The stream's task takes its queue anew for each event, and has not begun.
    queue = FfiClient.instance.queue
    stream._ffi_queue = queue.subscribe(asyncio.get_running_loop(), filter_fn=is_own)
    queue.unsubscribe(all_frames)


def _microphones(room: rtc.Room, encrypted: EncryptedTracks) -> Iterator[MicrophoneTrack]:
    for participant in room.remote_participants.values():
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            continue
        for publication in participant.track_publications.values():
            track = publication.track
            is_microphone = publication.source == rtc.TrackSource.SOURCE_MICROPHONE
            if is_microphone and track is not None and not encrypted.has(publication):
                yield MicrophoneTrack(
                    sid=publication.sid, identity=participant.identity, muted=publication.muted, track=track
                )
