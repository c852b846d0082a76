"""Runs one job in its room: opens it at the router, follows tracks and speech, sends heartbeats, and closes it."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import aiohttp
import structlog
from livekit import rtc
from livekit.rtc.room import EventTypes

from room_agent.audio.plugins import stt_plugins, tts_plugins
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.tts import SpeechOutput
from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.chat import ChatInbox
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.manager import ConversationManager
from room_agent.conversation.transcription import Transcription
from room_agent.core.counters import Counters
from room_agent.core.models import FrameDescribed
from room_agent.core.router_client import HeartbeatResult, OpenedRoom, RouterClient
from room_agent.core.router_errors import RouterAway, RouterBusy, RouterError, RouterRefused, TokenExpired
from room_agent.core.settings import SpeechSettings
from room_agent.core.tasks import OwnedTasks, log_task_end, log_task_traceback
from room_agent.core.track_settings import TrackSettingsClient
from room_agent.usage.journal import UsageJournal
from room_agent.usage.meter import SpeechMeter, metered_stt_session, metered_tts_session
from room_agent.video.events import FrameEvents
from room_agent.video.recorder import FrameRecorder
from room_agent.video.tracks import VideoTracks, watched_sources
from routing.retry import backoff_s

TOPIC = "rayroom.descriptions"
"""The text stream on which a room's participants receive the descriptions of frames."""
SEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
SYNC_TIMEOUT_S = 5.0
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


class RoomSpeech:
    """One room's conversation and its usage. `start` it once the room is open at the router.

    Chat messages wait in the inbox until then: created before the agent joins, it misses none.
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
        self._journal = journal
        self._http: list[aiohttp.ClientSession] = []
        self._llm: RouterLlm | None = None
        self._tasks = OwnedTasks(log_task_end)
        self.usage = SpeechMeter(time.time, journal)
        knowledge = KnowledgeRetrieval(router, time.monotonic)
        self.context = ContextBuilder(knowledge, AgentManner(name=settings.names[0], spoken=settings.voice), time.time)
        self._refusals = Transcription(room)
        self.inbox = ChatInbox(room, self._refusals.notice, time.monotonic)
        self.voice: ConversationManager | None = None

    async def start(self, opened: OpenedRoom) -> None:
        """Take part in the conversation from now on, as the tenant's agent: in silence while its budget is spent."""
        self._settings = self._settings.of_tenant(opened.agent)
        self.context.agent = AgentManner(
            name=self._settings.names[0], spoken=self._settings.voice, company=opened.agent.instructions
        )
        if opened.agent.names:
            await self._show_name(self._settings.names[0])
        if self._journal is not None:
            self._tasks.start(self._journal.keep_synced(), "usage journal")
        # In a thread: loading the CA certificates would block the event loop for a fifth of a second.
        self._llm = await asyncio.to_thread(RouterLlm, self._router, self._router_url, opened.agent.tier)
        services, speaker = self._vendors() if self._settings.voice else (None, None)
        self.voice = ConversationManager(
            self._room,
            self._settings,
            self.context,
            self._llm,
            time.monotonic,
            services=services,
            speech_output=speaker,
            agent=opened.agent,
        )
        # Before the first microphone: without it speech would be transcribed unpaid until the first heartbeat.
        self.voice.notices.on_heartbeat(HeartbeatResult(budget=opened.budget))
        await self.voice.start()
        self.inbox.deliver(self.voice.on_chat_message)

    def follow(self) -> None:
        """Bring the microphones in line with the room as it is now."""
        if self.voice is not None:
            self.voice.follow()

    def report(self) -> dict[str, float]:
        """Return the counters that a heartbeat carries."""
        chat = self.inbox.counts.report() | {"chat_refusals_lost": self._refusals.lost}
        return chat | (self.voice.report() | self.usage.report() if self.voice is not None else {})

    def on_heartbeat(self, result: HeartbeatResult) -> None:
        """Settle the usage events that the router billed, and pass on the tenant's budget."""
        self.usage.taken(result.settled)
        if self.voice is not None:
            self.voice.notices.on_heartbeat(result)

    async def aclose(self) -> None:
        """End the conversation. The usage is final when this returns; it can still be reported until `close_usage`."""
        await self.inbox.aclose()
        await self._refusals.aclose()
        if self.voice is not None:
            await self.voice.aclose()
        if self._llm is not None:
            await self._llm.aclose()
        for http in self._http:
            await http.close()

    async def close_usage(self) -> None:
        """Close the journal. Usage that the router has not billed by now is left to the worker's recovery."""
        await self._tasks.aclose(SYNC_TIMEOUT_S)
        self.usage.aclose()

    async def _show_name(self, name: str) -> None:
        """Let the room's participants see the name by which they can call the agent."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._room.local_participant.set_name(name)
        except (TimeoutError, OSError) as error:
            log.warning("agent's name not set", error=type(error).__name__)

    def _vendors(self) -> tuple[SttServices, SpeechOutput]:
        stt_http, tts_http = metered_stt_session(self.usage), metered_tts_session(self.usage)
        self._http += [stt_http, tts_http]
        services = SttServices(stt_plugins(self._settings, stt_http), time.monotonic)
        output = SpeechOutput(tts_plugins(self._settings, tts_http), time.monotonic)
        output.on_speaking_for = self.usage.speak_for
        return services, output


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
    ) -> None:
        self._room = room
        self._router = router
        self._speech = speech
        self._opened: OpenedRoom | None = None
        self._closed = False
        self._tasks = OwnedTasks(log_task_traceback)
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

    @property
    def watches(self) -> bool:
        """Return whether the room is open at the router, and a frame was seen if there is anything to see."""
        return self._opened is not None and (self.counters.frames_seen > 0 or not self._has_screen())

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
        self._follow_safely()
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
        if self._speech is None:
            await self._router.beat(self.counters.report())
            return
        counters = self.counters.report() | self._speech.report()
        usage = [event.as_json() for event in self._speech.usage.due()]
        self._speech.on_heartbeat(await self._router.beat(counters, usage))

    async def _close_room(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._report_last()
                await self._router.close()
        except (RouterError, TimeoutError) as error:
            log.warning("room closing failed", error=type(error).__name__)

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
