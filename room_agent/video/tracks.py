"""Watches the room's video tracks as they come and go: for each a watch, and a forwarder of what it keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog
from livekit import rtc

from room_agent.core.counters import Counters
from room_agent.core.router_client import RoomLimits, RouterClient
from room_agent.core.tasks import cancel, log_task_traceback
from room_agent.video.frame_gate import FrameGate
from room_agent.video.rate_control import RateControl
from room_agent.video.sampler import SampledTrack, TrackSampler
from room_agent.video.selection import Source, TrackCandidate, select
from room_agent.video.uploader import DescribedFrame, FrameUploader, KeptFrame

LAST_ANSWER_S = 10.0
"""What a track showed at its end is waited for so long: a slide shown for a second is asked for all the same."""
END_TIMEOUT_S = 5.0
SOURCES: dict[int, Source] = {
    rtc.TrackSource.SOURCE_SCREENSHARE: "screen_share",
    rtc.TrackSource.SOURCE_CAMERA: "camera",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SharedTrack:
    """Whose a track is, and what it shows."""

    sid: str
    source: Source
    shared_by: str
    identity: str


class VideoListener(Protocol):
    """Who is told of the tracks."""

    def kept(self, frame: KeptFrame, source: Source, shared_by: str, identity: str) -> None: ...

    async def described(self, described: DescribedFrame, source: Source, shared_by: str) -> None: ...

    def no_longer_shown(self, track: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Watching:
    watch: asyncio.Task[None]
    forwarder: FrameUploader
    sending: asyncio.Task[None]


class VideoTracks:
    """One room's, from the first `follow` to `aclose`; owns every task it starts."""

    def __init__(
        self, room: rtc.Room, router: RouterClient, counters: Counters, onlooker: VideoListener, max_tracks: int
    ) -> None:
        self._room = room
        self._router = router
        self._counters = counters
        self._onlooker = onlooker
        self._max_tracks = max_tracks
        self._watched: dict[str, _Watching] = {}
        self._endings: set[asyncio.Task[None]] = set()

    def follow(self, limits: RoomLimits) -> None:
        """Bring subscriptions and watches in line with the room as it is now."""
        videos = self._videos()
        chosen = select([candidate for candidate, _, _ in videos.values()], self._max_tracks)
        for sid, (_, publication, _) in videos.items():
            if publication.subscribed != (sid in chosen):
                publication.set_subscribed(sid in chosen)
        live = {sid: publication.track for sid, (_, publication, _) in videos.items() if sid in chosen}
        # A watch that failed is taken up again.
        for sid in [sid for sid, one in self._watched.items() if live.get(sid) is None or one.watch.done()]:
            self._own(self._end(self._watched.pop(sid)))
            if live.get(sid) is None:
                self._onlooker.no_longer_shown(sid)
        for sid, track in live.items():
            if track is not None and sid not in self._watched:
                self._watched[sid] = self._watch(_shared(sid, chosen[sid], videos[sid][2]), track, limits)
        self._counters.tracks_watched = len(self._watched)

    async def aclose(self) -> None:
        """Stop at once."""
        watched = list(self._watched.values())
        self._watched.clear()
        await cancel({task for one in watched for task in (one.watch, one.sending)} | self._endings, END_TIMEOUT_S)

    def _videos(self) -> dict[str, tuple[TrackCandidate, rtc.RemoteTrackPublication, rtc.RemoteParticipant]]:
        return {
            publication.sid: (
                TrackCandidate(track_sid=publication.sid, source=SOURCES[publication.source], muted=publication.muted),
                publication,
                participant,
            )
            for participant in self._room.remote_participants.values()
            for publication in participant.track_publications.values()
            if publication.kind == rtc.TrackKind.KIND_VIDEO and publication.source in SOURCES
        }

    def _watch(self, shared: SharedTrack, track: rtc.Track, limits: RoomLimits) -> _Watching:
        pace, gate = RateControl(limits.frames_per_second), FrameGate()
        tell = _telling(self._onlooker, shared)
        forwarder = FrameUploader(self._router, pace, self._counters, tell, gate.forget, time.monotonic)
        watched = SampledTrack(track_sid=shared.sid, source=shared.source, long_side_px=limits.image_long_side_px)
        kept = partial(self._onlooker.kept, source=shared.source, shared_by=shared.shared_by, identity=shared.identity)
        watch = TrackSampler(watched, gate, pace, forwarder, kept, self._counters, time.monotonic, time.time)
        log.info("watching", track=shared.sid, source=shared.source)
        running = _task(watch.run(track), f"watch {shared.sid}")
        return _Watching(running, forwarder, _task(forwarder.run(), f"send {shared.sid}"))

    async def _end(self, watching: _Watching) -> None:
        """End a track's watch, and its forwarder once what is under way is answered."""
        await cancel({watching.watch}, END_TIMEOUT_S)
        watching.forwarder.end()
        try:
            await asyncio.wait({watching.sending}, timeout=LAST_ANSWER_S)
        finally:
            watching.sending.cancel()

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = _task(work, "ending of a watch")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


def _shared(sid: str, source: Source, by: rtc.RemoteParticipant) -> SharedTrack:
    return SharedTrack(sid, source, by.name or by.identity, by.identity)


def _telling(onlooker: VideoListener, shared: SharedTrack) -> Callable[[DescribedFrame], Awaitable[None]]:
    async def tell(described: DescribedFrame) -> None:
        await onlooker.described(described, shared.source, shared.shared_by)

    return tell


def _task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(log_task_traceback)
    return task
