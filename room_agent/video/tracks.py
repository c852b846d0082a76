"""Subscribes to the room's video tracks as they come and go, and runs a sampler and an uploader for each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog
from livekit import rtc

from room_agent.core.counters import Counters
from room_agent.core.encryption import EncryptedTracks
from room_agent.core.models import KeptFrame, SharedTrack, Source, TrackEnded
from room_agent.core.router_client import RoomLimits, RouterClient
from room_agent.core.tasks import OwnedTasks, cancel, log_task_traceback
from room_agent.core.track_settings import TrackSettings, TrackSettingsClient
from room_agent.video.events import FrameEvents
from room_agent.video.frame_gate import FrameGate
from room_agent.video.frame_rate import FrameRateChoice
from room_agent.video.rate_control import RateControl
from room_agent.video.sampler import TrackPipeline, TrackSampler
from room_agent.video.selection import TrackCandidate, select
from room_agent.video.uploader import FrameUploader
from room_agent.video.view_encoder import ViewEncoder
from routing.models import TenantAgent

LAST_ANSWER_S = 10.0
"""The wait for a track's last answer after its end: a slide shown for a second is described all the same."""
END_TIMEOUT_S = 5.0
OBSERVE_EVERY_S = 1.0
SOURCES: dict[int, Source] = {
    rtc.TrackSource.SOURCE_SCREENSHARE: "screen_share",
    rtc.TrackSource.SOURCE_CAMERA: "camera",
}

log = structlog.get_logger()


def watched_sources(agent: TenantAgent) -> frozenset[Source]:
    """Return the kinds of video that a tenant's agent may watch."""
    watched: dict[Source, bool] = {"screen_share": agent.watches_screens, "camera": agent.watches_cameras}
    return frozenset(source for source, allowed in watched.items() if allowed)


@dataclass(frozen=True, slots=True)
class _SampledTrack:
    """A track that is being sampled, and its tasks."""

    track: SharedTrack
    sampler: TrackSampler
    uploader: FrameUploader
    sampling: asyncio.Task[None]
    sending: asyncio.Task[None]
    choosing: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class _VideoPublication:
    """A published camera or screen share, and its participant."""

    publication: rtc.RemoteTrackPublication
    participant: rtc.RemoteParticipant

    @property
    def candidate(self) -> TrackCandidate:
        publication = self.publication
        return TrackCandidate(track_sid=publication.sid, source=SOURCES[publication.source], muted=publication.muted)

    @property
    def shared(self) -> SharedTrack:
        participant = self.participant
        return SharedTrack(
            sid=self.publication.sid,
            source=SOURCES[self.publication.source],
            shared_by=participant.name or participant.identity,
            identity=participant.identity,
        )


class VideoTracks:
    """The sampled tracks of one room, from the first `follow` to `aclose`; owns every task it starts."""

    def __init__(
        self,
        room: rtc.Room,
        router: RouterClient,
        counters: Counters,
        events: FrameEvents,
        max_tracks: int,
        settings: TrackSettingsClient,
    ) -> None:
        self._room = room
        self._router = router
        self._counters = counters
        self._events = events
        self._max_tracks = max_tracks
        self._settings = settings
        self._sampled: dict[str, _SampledTrack] = {}
        self._encrypted = EncryptedTracks()
        self._tasks = OwnedTasks(log_task_traceback)

    def follow(self, limits: RoomLimits, sources: frozenset[Source]) -> None:
        """Bring subscriptions and samplers in line with the room as it is now; only `sources` are ever subscribed."""
        videos = self._videos()
        candidates = [video.candidate for video in videos.values() if SOURCES[video.publication.source] in sources]
        chosen = select(candidates, self._max_tracks)
        for sid, video in videos.items():
            if video.publication.subscribed != (sid in chosen):
                video.publication.set_subscribed(sid in chosen)
        # A publication has no track until the SFU confirms the subscription; the event for that calls this again.
        live = {sid: track for sid in chosen if (track := videos[sid].publication.track) is not None}
        # A sampler that failed ends here and starts again below.
        for sid in [sid for sid, one in self._sampled.items() if sid not in live or one.sampling.done()]:
            sampled = self._sampled.pop(sid)
            self._tasks.start(self._end(sampled), f"end {sid}")
            if sid not in live:
                self._events.emit_track_ended(TrackEnded(track=sampled.track))
        for sid, track in live.items():
            if sid not in self._sampled:
                self._sampled[sid] = self._start(videos[sid].shared, track, limits)
        self._counters.tracks_watched = len(self._sampled)
        self._counters.tracks_encrypted = len(self._encrypted)

    async def current_frame(self, track_sid: str, longest_px: int) -> KeptFrame | None:
        """Return the picture that a sampled track shows now, its long side at most `longest_px`, or None."""
        sampled = self._sampled.get(track_sid)
        return None if sampled is None else await sampled.sampler.current_frame(longest_px)

    async def aclose(self) -> None:
        """Stop at once."""
        self._sampled.clear()
        await self._tasks.aclose(END_TIMEOUT_S)

    def _videos(self) -> dict[str, _VideoPublication]:
        return {
            publication.sid: _VideoPublication(publication, participant)
            for participant in self._room.remote_participants.values()
            for publication in participant.track_publications.values()
            if publication.kind == rtc.TrackKind.KIND_VIDEO
            and publication.source in SOURCES
            and not self._encrypted.has(publication)
        }

    def _start(self, shared: SharedTrack, track: rtc.Track, limits: RoomLimits) -> _SampledTrack:
        rate, gate = RateControl(limits.frames_per_second), FrameGate()
        uploader = FrameUploader(
            shared,
            self._router,
            rate,
            self._counters,
            self._events,
            on_lost=lambda: sampler.frame_lost(),
            clock=time.monotonic,
        )
        pipeline = TrackPipeline(
            track=shared,
            rate=rate,
            gate=gate,
            views=ViewEncoder(limits.image_long_side_px, limits.image_tokens),
            uploader=uploader,
        )
        sampler = TrackSampler(pipeline, self._counters, time.monotonic, time.time)
        log.info("track sampled", track=shared.sid, source=shared.source)
        return _SampledTrack(
            shared,
            sampler,
            uploader,
            self._tasks.start(sampler.run(track), f"sample {shared.sid}"),
            self._tasks.start(uploader.run(), f"send {shared.sid}"),
            self._tasks.start(self._choose_frames(shared.sid, sampler, limits), f"frame rate {shared.sid}"),
        )

    async def _choose_frames(self, sid: str, sampler: TrackSampler, limits: RoomLimits) -> None:
        """Ask the SFU for fewer frames while the track delivers many more than are looked at."""
        if not self._settings.is_available:
            return
        choice = FrameRateChoice(limits.frames_per_second)
        received, observed_s = sampler.received, time.monotonic()
        while True:
            await asyncio.sleep(OBSERVE_EVERY_S)
            before_s, observed_s = observed_s, time.monotonic()
            before, received = received, sampler.received
            wanted = choice.observe(
                received - before, observed_s - before_s, observed_s, repeated_looks=sampler.repeated_looks
            )
            if wanted is not None:
                await self._settings.set(TrackSettings(track_sid=sid, fps=wanted.fps, key_frame=wanted.key_frame))

    async def _end(self, sampled: _SampledTrack) -> None:
        """End a track's sampler, then its uploader once the frames under way are answered."""
        await cancel({sampled.sampling, sampled.choosing}, END_TIMEOUT_S)
        sampled.uploader.end()
        try:
            await asyncio.wait({sampled.sending}, timeout=LAST_ANSWER_S)
        finally:
            sampled.sending.cancel()
