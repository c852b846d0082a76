"""Builds a room's conversation from its settings, counts what it costs, and takes it down again."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from livekit import rtc

from room_agent.audio.plugins import ears, voices
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.tts import SpeechOutput
from room_agent.context.context import ContextBuilder
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.chat import ChatInbox
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.manager import ConversationManager
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import HeartbeatResult, RouterClient
from room_agent.core.settings import SpeechSettings
from room_agent.usage.events import UsageEvent
from room_agent.usage.journal import UsageJournal
from room_agent.usage.meter import SpeechMeter, counting_ears, counting_mouths
from room_agent.video.forward import DescribedFrame, KeptFrame
from room_agent.video.selection import Source

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
