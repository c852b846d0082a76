"""A room whose agent hears and speaks, with emulated vendors and a router that answers as its script says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from livekit import rtc

from cluster.lab.emulator import Emulator, Fault
from room_agent.core.router_client import RouterClient
from room_agent.core.settings import SpeechSettings
from room_agent.session import RoomSession, RoomSpeech
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speech_settings import settings_for
from tests.support.stack import eventually
from tests.support.talking import Talker

ROOM = "tenant_acme_spoken"


@dataclass
class Scene:
    """A room with an agent in it, and all that it talks to."""

    livekit: LiveKit
    emulator: Emulator
    router: ScriptedRouter
    speech: RoomSpeech
    attendance: RoomSession

    def billed(self) -> tuple[int, int]:
        """Return the milliseconds and characters that the router was told of."""
        usage = {event["id"]: event for event in self.router.usage}.values()
        return sum(event["audio_ms"] for event in usage), sum(event["characters"] for event in usage)

    def charged(self) -> tuple[int, int]:
        """Return the milliseconds and characters that the vendors charge for."""
        journal = self.emulator.journal
        return sum(seen.audio_ms for seen in journal), sum(seen.characters for seen in journal)


@asynccontextmanager
async def scene(
    livekit: LiveKit, router: ScriptedRouter | None = None, voice_fault: Fault | None = None, **changed: object
) -> AsyncIterator[Scene]:
    """Yield a room that an agent attends; when it ends, the agent has left in good order.

    The agent opens its voice's socket before it has anything to say, so that socket's fault is planned before it comes.
    """
    async with Emulator().running() as emulator, (router or ScriptedRouter()).running() as router:
        # On a busy machine a sound may come with a gap in it: what follows is more of the same, and no new words.
        emulator.script.ends = True
        if voice_fault is not None:
            emulator.plan(voice_fault, vendor="elevenlabs")
        settings: SpeechSettings = settings_for(emulator, **changed)
        room, client = rtc.Room(), RouterClient(router.url, "agent-key", ROOM, "job-1", "{}")
        await room.connect(livekit.url, livekit.token(ROOM, "agent"))
        speech = RoomSpeech(room, client, router.url, settings)
        attendance = RoomSession(room, client, max_tracks=4, speech=speech)
        attendance.start()
        try:
            yield Scene(livekit, emulator, router, speech, attendance)
        finally:
            await attendance.aclose()
            await client.aclose()
            await room.disconnect()


async def asked(room: Scene, talker: Talker, text: str, duration_ms: int = 1_200) -> None:
    """Have somebody ask `text` aloud, once the agent is there to hear it."""
    await eventually(lambda: room.speech.voice is not None and room.speech.report()["hearing_microphones"] >= 1)
    room.emulator.script.add(text)
    await talker.speak(duration_ms)
