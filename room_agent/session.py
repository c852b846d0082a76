"""Runs one job in its room: opens it at the router, follows tracks and speech, sends heartbeats, and closes it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import structlog
from livekit import rtc
from livekit.rtc.room import EventTypes

from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed
from room_agent.core.router_client import OpenedRoom, RouterClient
from room_agent.core.router_errors import RouterAway, RouterBusy, RouterError, RouterRefused, TokenExpired
from room_agent.core.tasks import OwnedTasks, log_task_traceback
from room_agent.core.track_settings import TrackSettingsClient
from room_agent.records.recorder import MeetingRecorder
from room_agent.room_speech import RoomSpeech
from room_agent.video.events import FrameEvents
from room_agent.video.recorder import FrameRecorder
from room_agent.video.tracks import VideoTracks, watched_sources
from routing.retry import backoff_s

TOPIC = "rayroom.descriptions"
"""The text stream on which a room's participants receive the descriptions of frames."""
SEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
LAST_HEARTBEAT_EVERY_S = 0.5
START_SPEECH_TIMEOUT_S = 30.0
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 15.0
MANY_FAILURES = 16
"""After this many failures the wait is `LONGEST_BACKOFF_S`."""

# Any of these may change the set of tracks to sample or to listen to.
_ROOM_EVENTS: tuple[EventTypes, ...] = (
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "track_muted",
    "track_unmuted",
    "participant_connected",
    "participant_disconnected",
    "reconnected",
)

log = structlog.get_logger()


class RoomSession:
    """One job's work in its room, from `start` to `aclose`; owns every task it starts."""

    def __init__(
        self,
        room: rtc.Room,
        router: RouterClient,
        max_tracks: int,
        recording: FrameRecorder | None = None,
        speech: RoomSpeech | None = None,
        track_settings: TrackSettingsClient | None = None,
        recorder: MeetingRecorder | None = None,
    ) -> None:
        self._room = room
        self._router = router
        self._recorder = recorder
        self._speech = speech
        self._opened: OpenedRoom | None = None
        self._closed = False
        self._tasks = OwnedTasks(log_task_traceback)
        self.is_open = asyncio.Event()
        self.counters = Counters()
        self.events = FrameEvents()
        settings = track_settings or TrackSettingsClient(None)
        self._tracks = VideoTracks(room, router, self.counters, self.events, max_tracks, settings)
        # The context comes first: a question about a frame may follow its description at once.
        if speech is not None:
            speech.context.current_frame = self._tracks.current_frame
            self.events.kept.append(speech.context.on_frame_kept)
            self.events.described.append(speech.context.on_frame_described)
            self.events.track_ended.append(speech.context.on_track_ended)
        self.events.described.append(self._publish_description)
        if recording is not None:
            self.events.described.append(recording.add)
        if recorder is not None:
            self.events.described.append(recorder.add_description)

    async def wait_until_watching(self) -> None:
        """Return once the room is open at the router, and a frame was seen if there is anything to see."""
        await self.is_open.wait()
        if self._has_screen():
            await self.counters.first_frame.wait()

    async def hand_over(self, successor: str) -> None:
        """Send a successor the conversation, whose open questions are not answered here any more."""
        if self._speech is not None:
            await self._speech.hand_over(successor)

    def _has_screen(self) -> bool:
        participants = self._room.remote_participants.values()
        publications = (one for participant in participants for one in participant.track_publications.values())
        return any(one.kind == rtc.TrackKind.KIND_VIDEO and not one.muted for one in publications)

    def start(self) -> None:
        """Follow the room from now on."""
        for event in _ROOM_EVENTS:
            self._room.on(event, self._on_room_event)
        self._tasks.start(self._run(), "room session")

    async def aclose(self) -> None:
        """Stop sampling and speaking, report the last counters and usage, and close the room. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for event in _ROOM_EVENTS:
            self._room.off(event, self._on_room_event)
        await self._tasks.aclose(CLOSE_TIMEOUT_S)
        await self._tracks.aclose()
        if self._speech is not None:
            await self._speech.aclose()
        if self._opened is not None:
            await self._close_room()
        if self._speech is not None:
            if not self._speech.usage.settled:
                log.error("speech usage unbilled", **self._speech.usage.unbilled)
            await self._speech.close_usage()

    async def _run(self) -> None:
        """Open the room at the router, however long that takes, and send heartbeats for as long as the job lives."""
        self._opened = await self._open_room()
        if self._recorder is not None:
            await self._recorder.begin(self._opened.agent)
        self._follow_safely()
        self.is_open.set()
        await self._start_speech(self._opened)
        # Rooms that open at once, at nine or when the router is back, spread their heartbeats by a random first pause.
        pause_s = random.uniform(0.0, self._opened.limits.heartbeat_every_s)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._opened.limits.heartbeat_every_s
            # Not only on events: a sampler that failed starts again.
            self._follow_safely()
            await self._heartbeat_safely()

    async def _open_room(self) -> OpenedRoom:
        failures = 0
        while True:
            try:
                return await self._router.open()
            except RouterRefused as error:
                # Refused by configuration, not by load: only an operator can mend it, so the longest wait follows.
                log.error("room refused by the router", detail=error.message)
                failures = MANY_FAILURES
            except RouterError as error:
                log.warning("room opening failed", error=type(error).__name__, detail=error.message)
                failures += 1
            longest_s = backoff_s(failures, FIRST_BACKOFF_S, LONGEST_BACKOFF_S)
            # Half of the wait is random, so that the rooms of a worker do not return all at once.
            await asyncio.sleep(random.uniform(longest_s / 2, longest_s))

    async def _start_speech(self, opened: OpenedRoom) -> None:
        """Start the conversation. Where that fails the session goes on without it: sampling and heartbeats remain."""
        if self._speech is None:
            return
        try:
            async with asyncio.timeout(START_SPEECH_TIMEOUT_S):
                await self._speech.start(opened)
        except Exception as error:
            # No traceback: its values may quote the conversation.
            log.error("conversation start failed", error=type(error).__name__)

    def _follow_safely(self) -> None:
        """Follow the room; an error must not end the heartbeats, or the router would close a living room."""
        try:
            self._follow()
        except Exception as error:
            log.error("room update failed", error=type(error).__name__, exc_info=error)

    async def _heartbeat_safely(self) -> None:
        """Send a heartbeat; open the room again where its token expired. Errors are logged; the next one follows."""
        try:
            try:
                await self._heartbeat()
            except TokenExpired:
                self._opened = await self._open_room()
        except RouterError as error:
            log.warning("heartbeat failed", error=type(error).__name__, detail=error.message)
        except Exception as error:
            log.error("heartbeat failed", error=type(error).__name__, exc_info=error)

    async def _heartbeat(self) -> None:
        """Report the counters, and the speech usage since the last heartbeat: a crash loses at most that interval's."""
        counters = self.counters.report() | (self._recorder.report() if self._recorder is not None else {})
        if self._speech is None:
            await self._router.beat(counters)
            return
        counters |= self._speech.report()
        usage = [event.as_json() for event in self._speech.usage.due()]
        self._speech.on_heartbeat(await self._router.beat(counters, usage))

    async def _close_room(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._report_last()
            # The bill comes first; the record has a time of its own.
            await self._close_record(self._router)
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._router.close()
        except (RouterError, TimeoutError) as error:
            log.warning("room closing failed", error=type(error).__name__)
        finally:
            await self._close_record(None)

    async def _close_record(self, router: RouterClient | None) -> None:
        if self._recorder is not None:
            await self._recorder.aclose(router)

    async def _report_last(self) -> None:
        """Send a last heartbeat, repeated until all speech usage is billed: only this process has it in memory."""
        while True:
            try:
                await self._heartbeat()
            except TokenExpired:
                await self._router.open()
            except (RouterAway, RouterBusy):
                if self._speech is None:
                    raise
            if self._speech is None or self._speech.usage.settled:
                return
            await asyncio.sleep(LAST_HEARTBEAT_EVERY_S)

    def _on_room_event(self, *_: Any) -> None:
        if self._opened is not None:
            self._follow()

    def _follow(self) -> None:
        """Bring sampled tracks and microphones in line with the room as it is now."""
        if self._speech is not None:
            self._speech.follow()
        if self._opened is not None:
            self._tracks.follow(self._opened.limits, watched_sources(self._opened.agent))

    async def _publish_description(self, event: FrameDescribed) -> None:
        """Send a description to the room's participants."""
        answer = event.answer
        attributes = {
            "model": answer.model,
            "tier": answer.tier,
            "simulated": str(answer.simulated).lower(),
            "cost_nanousd": str(answer.cost_nanousd),
            "track": event.track.sid,
            "captured_at": event.frame.headers["x-frame-captured-at"],
        }
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._room.local_participant.send_text(answer.description, topic=TOPIC, attributes=attributes)
        except (TimeoutError, OSError) as error:
            self.counters.answers_lost += 1
            log.warning("description not sent", track=event.track.sid, error=type(error).__name__)
