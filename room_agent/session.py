"""Attends one room: opens it at the router, follows it, tells what it sees, and closes it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import aiohttp
import structlog
from livekit import rtc
from livekit.rtc.room import EventTypes

from room_agent.audio.plugins import ears, voices
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.tts import SpeechOutput
from room_agent.context.context import ContextBuilder
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.chat import ChatInbox
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.manager import ConversationManager
from room_agent.conversation.transcription import Transcription
from room_agent.core.counters import Counters
from room_agent.core.router_client import (
    HeartbeatResult,
    OpenedRoom,
    RouterAway,
    RouterBusy,
    RouterClient,
    RouterError,
    RouterRefused,
    TokenExpired,
)
from room_agent.core.settings import SpeechSettings
from room_agent.core.tasks import cancel, log_task_traceback
from room_agent.usage.events import UsageEvent
from room_agent.usage.journal import UsageJournal
from room_agent.usage.meter import SpeechMeter, counting_ears, counting_mouths
from room_agent.video.recorder import FrameRecorder
from room_agent.video.selection import Source
from room_agent.video.tracks import VideoTracks
from room_agent.video.uploader import DescribedFrame, KeptFrame

log = structlog.get_logger()

SYNC_TIMEOUT_S = 5.0


class RoomSpeech:
    """One room's conversation, and its bill; `start` once the room is open at the router.

    What is written before that waits: made before the agent joins, it misses nothing.
    """

    def __init__(
        self,
        room: rtc.Room,
        router: RouterClient,
        router_url: str,
        settings: SpeechSettings,
        journal: UsageJournal | None = None,
    ) -> None:
        self._room = room
        self._router = router
        self._router_url = router_url
        self._settings = settings
        self._http: list[aiohttp.ClientSession] = []
        self._thinking: RouterLlm | None = None
        self._journal = journal
        self._syncing: asyncio.Task[None] | None = None
        self.usage = SpeechMeter(time.time, journal)
        knowledge = KnowledgeRetrieval(router, time.monotonic)
        self.mind = ContextBuilder(knowledge, settings.names[0], settings.voice, time.time)
        self._refusals = Transcription(room)
        self.inbox = ChatInbox(room, self._refusals.told, time.monotonic)
        self.voice: ConversationManager | None = None

    async def start(self) -> None:
        """Take part in the conversation from now on."""
        if self._journal is not None:
            self._syncing = asyncio.create_task(self._journal.keep_synced(), name="usage journal")
        # Reading the certificates holds the loop for a fifth of a second.
        self._thinking = await asyncio.to_thread(RouterLlm, self._router, self._router_url)
        services, mouth = self._vendors() if self._settings.voice else (None, None)
        self.voice = ConversationManager(
            self._room, self._settings, self.mind, self._thinking, time.monotonic, services=services, mouth=mouth
        )
        await self.voice.start()
        self.inbox.deliver(self.voice.written)

    def follow(self) -> None:
        if self.voice is not None:
            self.voice.follow()

    def kept(self, frame: KeptFrame, source: Source, shared_by: str, identity: str) -> None:
        self.mind.kept(frame, source, shared_by, identity)

    def shown(self, described: DescribedFrame, source: Source, shared_by: str) -> None:
        self.mind.shown(described, source, shared_by)

    def no_longer_shown(self, track: str) -> None:
        self.mind.no_longer_shown(track)

    def report(self) -> dict[str, float]:
        chat = self.inbox.counts.report() | {"chat_refusals_lost": self._refusals.lost}
        return chat | (self.voice.report() | self.usage.report() if self.voice is not None else {})

    def due(self) -> list[UsageEvent]:
        return self.usage.due()

    def beaten(self, beaten: HeartbeatResult) -> None:
        self.usage.taken(beaten.taken)
        if self.voice is not None:
            self.voice.beaten(beaten)

    async def aclose(self) -> None:
        """End it; what it cost is whole when this returns, and is told until `leave`."""
        await self.inbox.aclose()
        await self._refusals.aclose()
        if self.voice is not None:
            await self.voice.aclose()
        if self._thinking is not None:
            await self._thinking.aclose()
        for http in self._http:
            await http.close()

    async def leave(self) -> None:
        """Put the usage away; what the router has not taken is left to the worker."""
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.wait({self._syncing}, timeout=SYNC_TIMEOUT_S)
        self.usage.aclose()

    def _vendors(self) -> tuple[SttServices, SpeechOutput]:
        heard, spoken = counting_ears(self.usage), counting_mouths(self.usage)
        self._http += [heard, spoken]
        services = SttServices(ears(self._settings, heard), time.monotonic)
        return services, SpeechOutput(voices(self._settings, spoken), time.monotonic)


TOPIC = "rayroom.descriptions"
"""The text stream on which a room's participants get what was seen."""
SEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
LAST_AGAIN_S = 0.5
CONVERSE_TIMEOUT_S = 30.0
LONGEST_BACKOFF_S = 15.0


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
        task.add_done_callback(log_task_traceback)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
