"""A room with an agent, emulated vendors and a scripted router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from livekit import rtc

from cluster.lab.emulator import Emulator, Fault
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.core.settings import SpeechSettings
from room_agent.room_speech import RoomSpeech
from room_agent.session import RoomSession
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import SpeakingParticipant
from tests.support.speech_settings import settings_for

ROOM = "tenant_acme_spoken"


@dataclass
class VoiceScene:
    """A room with an agent in this process, and the services that it uses."""

    livekit: LiveKit
    emulator: Emulator
    router: ScriptedRouter
    speech: RoomSpeech
    session: RoomSession

    def billed(self) -> tuple[int, int]:
        """Return the milliseconds and characters reported to the router."""
        usage = {event["id"]: event for event in self.router.usage}.values()
        return sum(event["audio_ms"] for event in usage), sum(event["characters"] for event in usage)

    def charged(self) -> tuple[int, int]:
        """Return the milliseconds and characters that the vendors charge for."""
        journal = self.emulator.journal
        return sum(request.audio_ms for request in journal), sum(request.characters for request in journal)


@asynccontextmanager
async def voice_scene(
    livekit: LiveKit, router: ScriptedRouter | None = None, voice_fault: Fault | None = None, **settings_changes: object
) -> AsyncIterator[VoiceScene]:
    """Yield a room with an agent; on exit, the agent leaves.

    The agent opens its TTS socket before its first answer. The fault of that socket is planned before the agent joins.
    """
    async with Emulator().running() as emulator, (router or ScriptedRouter()).running() as router:
        # On a busy machine audio may have gaps: the part after a gap belongs to the same text and adds no words.
        emulator.script.ends = True
        if voice_fault is not None:
            emulator.plan(voice_fault, vendor="elevenlabs")
        settings: SpeechSettings = settings_for(emulator, **settings_changes)
        room, transport = rtc.Room(), HttpTransport(router.url)
        client = RouterClient(transport, "agent-key", ROOM, "job-1", "{}")
        await room.connect(livekit.url, livekit.token(ROOM, "agent"))
        speech = RoomSpeech(room, client, router.url, settings)
        session = RoomSession(room, client, max_tracks=4, speech=speech)
        session.start()
        try:
            yield VoiceScene(livekit, emulator, router, speech, session)
        finally:
            await session.aclose()
            await transport.aclose()
            await room.disconnect()


async def speak_question(
    scene: VoiceScene, participant: SpeakingParticipant, text: str, duration_ms: int = 1_200
) -> None:
    """Speak, and have it transcribed as `text`; wait first until the agent transcribes a microphone."""
    await eventually(lambda: scene.speech.voice is not None and scene.speech.report()["hearing_microphones"] >= 1)
    scene.emulator.script.add(text)
    await participant.speak(duration_ms)
