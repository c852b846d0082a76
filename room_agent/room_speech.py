"""Runs one room's conversation: its vendors, its usage, its chat, and its hand-over from and to another agent."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import aiohttp
import structlog
from livekit import rtc

from room_agent.audio.plugins import stt_plugins, tts_plugins
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.tts import SpeechOutput
from room_agent.audio.voices import Voices
from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.chat import ChatInbox
from room_agent.conversation.hand_over import ChatText, HandedOverState, HandOver
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.manager import ConversationManager
from room_agent.conversation.tool_client import ToolClient
from room_agent.conversation.tool_turns import ToolTurns
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import HeartbeatResult, OpenedRoom, RouterClient
from room_agent.core.settings import SpeechSettings
from room_agent.core.tasks import OwnedTasks, log_task_end
from room_agent.records.recorder import MeetingRecorder
from room_agent.usage.journal import UsageJournal
from room_agent.usage.meter import SpeechMeter, metered_stt_session, metered_tts_session

SEND_TIMEOUT_S = 5.0
SYNC_TIMEOUT_S = 5.0

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
        recorder: MeetingRecorder | None = None,
    ) -> None:
        self._room = room
        self._router = router
        self._router_url = router_url
        self._settings = settings
        self._journal = journal
        self._recorder = recorder
        self._hand_over = HandOver(room)
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
            recorder=self._recorder,
            tools=self._tools(opened, self._llm),
        )
        # Before the first microphone: without it speech would be transcribed unpaid until the first heartbeat.
        self.voice.notices.on_heartbeat(HeartbeatResult(budget=opened.budget))
        state = await self._hand_over.receive()
        if state is not None:
            self.context.restore(state.context)
            self.voice.restore(state.questions)
        await self.voice.start()
        answered = () if state is None else [(one.identity, one.text) for one in state.chat]
        self.inbox.deliver(self.voice.on_chat_message, answered)

    async def hand_over(self, successor: str) -> None:
        """Send a successor the context and the open questions. Nothing more is read or answered here."""
        await self.inbox.aclose()
        questions = await self.voice.open_questions() if self.voice is not None else []
        chat = tuple(ChatText(identity=one.identity, text=one.text) for one in self.inbox.last)
        state = HandedOverState(context=self.context.stored(), questions=tuple(questions), chat=chat)
        await self._hand_over.send(successor, state)

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

    def _tools(self, opened: OpenedRoom, llm: RouterLlm) -> ToolTurns:
        """Return the room's tools, which are being listed; the rules of the prompt name them once they are there."""
        searches = opened.agent.knowledge == "tool"
        offers = opened.has_tools or searches
        client = ToolClient(self._router, has_tools=opened.has_tools, searches=searches) if offers else None
        captions, settings = Transcription(self._room), self._settings
        tools = ToolTurns(llm, client, captions, time.monotonic, settings.language, settings.names)
        tools.on_listed = lambda has_tools: self._on_tools_listed(has_tools, searches)
        if (recorder := self._recorder) is not None:
            tools.called.append(
                lambda call: recorder.add_tool_call(call.tool, call.outcome, call.took_s, call.cost_nanousd)
            )
        tools.start()
        return tools

    def _on_tools_listed(self, has_tools: bool, searches: bool) -> None:
        self.context.agent = replace(self.context.agent, has_tools=has_tools)
        # Also again where no model of the tier takes tools.
        self.context.searches_first = not (has_tools and searches)

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
        plugins = tts_plugins(self._settings, tts_http)
        voices = Voices(plugins, self._settings.voice_id, self._settings.voices)
        output = SpeechOutput(plugins, time.monotonic)

        def speak(asker: str, language: str) -> None:
            self.usage.speak_for(asker)
            # Without a detected language, in chat and in rooms of one language, the room's is spoken.
            voices.use(language or self._settings.spoken_language)

        output.on_speaking_for = speak
        return services, output
