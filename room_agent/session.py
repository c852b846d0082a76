"""Attends one room: opens it at the router, follows it, tells what it sees, and closes it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import structlog
from livekit import rtc
from livekit.rtc.room import EventTypes

from room_agent.core.counters import Counters
from room_agent.core.router_client import (
    OpenedRoom,
    RouterAway,
    RouterBusy,
    RouterClient,
    RouterError,
    RouterRefused,
    TokenExpired,
)
from room_agent.core.tasks import cancel, say_where_it_failed
from room_agent.speech import RoomSpeech
from room_agent.video.forward import DescribedFrame, KeptFrame
from room_agent.video.recorder import FrameRecorder
from room_agent.video.selection import Source
from room_agent.video.tracks import VideoTracks

TOPIC = "rayroom.descriptions"
"""The text stream on which a room's participants get what was seen."""
SEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
LAST_AGAIN_S = 0.5
CONVERSE_TIMEOUT_S = 30.0
LONGEST_BACKOFF_S = 15.0

log = structlog.get_logger()

# A change of any of these may change which tracks are watched.
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


class RoomSession:
    """One job's work in its room, from `start` to `aclose`; owns every task it starts."""

    def __init__(
        self,
        room: rtc.Room,
        router: RouterClient,
        max_tracks: int,
        recording: FrameRecorder | None = None,
        speech: RoomSpeech | None = None,
    ) -> None:
        self._room = room
        self._router = router
        self._recording = recording
        self._speech = speech
        self._opened: OpenedRoom | None = None
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.counters = Counters()
        self._tracks = VideoTracks(room, router, self.counters, self, max_tracks)

    def start(self) -> None:
        """Follow the room from now on."""
        for event in _ROOM_EVENTS:
            self._room.on(event, self._on_room_event)
        self._own(self._keep_open())

    async def aclose(self) -> None:
        """Stop watching and speaking, tell the last counts, close the room at the router. Harmless a second time."""
        if self._closed:
            return
        self._closed = True
        for event in _ROOM_EVENTS:
            self._room.off(event, self._on_room_event)
        await cancel(self._tasks, CLOSE_TIMEOUT_S)
        await self._tracks.aclose()
        if self._speech is not None:
            await self._speech.aclose()
        if self._opened is not None:
            await self._take_leave()
        if self._speech is not None:
            if not self._speech.usage.settled:
                log.error("speech that is not billed yet", **self._speech.usage.unbilled)
            await self._speech.leave()

    async def _take_leave(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._tell_last_counts()
                await self._router.close()
        except (RouterError, TimeoutError) as error:
            log.warning("room not closed at the router", error=type(error).__name__)

    async def _tell_last_counts(self) -> None:
        """Tell the counts, again and again where speech is to be billed: nobody else knows of it."""
        while True:
            try:
                await self._beat()
            except TokenExpired:
                await self._router.open()
            except (RouterAway, RouterBusy):
                if self._speech is None:
                    raise
            if self._speech is None or self._speech.usage.settled:
                return
            await asyncio.sleep(LAST_AGAIN_S)

    async def _keep_open(self) -> None:
        """Open the room at the router, however long that takes, and beat for as long as the job lives."""
        self._opened = await self._open()
        self._follow_on()
        await self._converse()
        # Rooms that open at once, at nine or when the router is back, do not beat at once from then on.
        pause_s = random.uniform(0.0, self._opened.limits.heartbeat_every_s)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._opened.limits.heartbeat_every_s
            # Not only on events: a watch that failed is taken up again.
            self._follow_on()
            await self._beat_on()

    def _follow_on(self) -> None:
        try:
            self._follow()
        except Exception as error:
            log.error("the room is not followed by a fault of ours", error=type(error).__name__, exc_info=error)

    async def _beat_on(self) -> None:
        """Beat, or open the room again; whatever goes wrong with it, the next beat comes."""
        try:
            try:
                await self._beat()
            except TokenExpired:
                self._opened = await self._open()
        except RouterError as error:
            log.warning("heartbeat not taken", error=type(error).__name__, detail=error.message)
        except Exception as error:
            log.error("a heartbeat failed by a fault of ours", error=type(error).__name__, exc_info=error)

    async def _converse(self) -> None:
        """Take part in the conversation. A room whose agent cannot is still watched, and its heartbeat goes on."""
        if self._speech is None:
            return
        try:
            async with asyncio.timeout(CONVERSE_TIMEOUT_S):
                await self._speech.start()
        except Exception as error:
            log.error("the agent takes no part in the conversation", error=type(error).__name__)

    async def _beat(self) -> None:
        """Tell the counts, and what speech has cost since the last time: a crash loses what came after this."""
        if self._speech is None:
            await self._router.beat(self.counters.report())
            return
        counts = self.counters.report() | self._speech.report()
        usage = [event.as_json() for event in self._speech.due()]
        self._speech.beaten(await self._router.beat(counts, usage))

    async def _open(self) -> OpenedRoom:
        backoff_s = 0.5
        while True:
            try:
                return await self._router.open()
            except RouterRefused as error:
                log.error("the router refuses this room; trying again", detail=error.message)
                backoff_s = LONGEST_BACKOFF_S
            except RouterError as error:
                log.warning("room not opened yet", error=type(error).__name__, detail=error.message)
            await asyncio.sleep(random.uniform(backoff_s / 2, backoff_s))
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    def _on_room_event(self, *_: Any) -> None:
        if self._opened is not None:
            self._follow()

    def _follow(self) -> None:
        """Bring what is watched and heard in line with the room as it is now."""
        if self._speech is not None:
            self._speech.follow()
        if self._opened is not None:
            self._tracks.follow(self._opened.limits)

    def kept(self, frame: KeptFrame, source: Source, shared_by: str, identity: str) -> None:
        if self._speech is not None:
            self._speech.kept(frame, source, shared_by, identity)

    def no_longer_shown(self, track: str) -> None:
        if self._speech is not None:
            self._speech.no_longer_shown(track)

    async def described(self, described: DescribedFrame, source: Source, shared_by: str) -> None:
        """Send what was seen to the room's participants, and remember it for their questions."""
        if self._speech is not None:
            self._speech.shown(described, source, shared_by)
        answer = described.answer
        attributes = {
            "model": answer.model,
            "tier": answer.tier,
            "simulated": str(answer.simulated).lower(),
            "cost_nanousd": str(answer.cost_nanousd),
            "track": described.frame.track,
            "captured_at": described.frame.headers["x-frame-captured-at"],
        }
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._room.local_participant.send_text(answer.description, topic=TOPIC, attributes=attributes)
        except (TimeoutError, OSError) as error:
            self.counters.answers_lost += 1
            log.warning("answer not sent to the room", error=type(error).__name__)
        if self._recording is not None:
            await self._recording.add(described)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="attendance")
        task.add_done_callback(say_where_it_failed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
