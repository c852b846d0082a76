"""Chat with the agent in a real room: reading, limits, and notices to senders of rejected messages."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from livekit import rtc

from tests.acceptance.voice_scene import ROOM, voice_scene
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.participant import Participant, connected
from tests.support.scripted_router import ScriptedRouter


def is_answered(participant: Participant, identity: str) -> bool:
    return any(text.attributes["rayroom.to"] == identity for text in participant.answers())


def notices_to(participant: Participant) -> list[str]:
    """Return the notices of the agent that a participant received."""
    return [text.text for text in participant.texts_on("lk.transcription") if text not in participant.answers()]


async def test_a_message_before_the_room_is_open_is_answered_later(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.open_statuses.extend([503] * 1_000)
    async with (
        voice_scene(livekit, router, voice=False) as scene,
        connected(Participant(), livekit, ROOM, "ann") as ann,
    ):
        await eventually(ann.agents)
        # The server forwards nothing to a participant that has just joined.
        await asyncio.sleep(1.0)
        await ann.send_chat("What is it?")
        assert router.opened == 0
        router.open_statuses.clear()
        await eventually(lambda: ann.answers())
        assert scene.speech.report()["chat_taken"] == 1


async def test_five_concurrent_messages_are_all_read(livekit: LiveKit) -> None:
    async with voice_scene(livekit, voice=False) as scene, connected(Participant(), livekit, ROOM, "ann") as ann:
        await eventually(lambda: scene.speech.voice is not None and ann.agents() and len(scene.router.heartbeats) > 5)
        await asyncio.gather(*(ann.send_chat(f"What is {number}?") for number in range(5)))
        await eventually(lambda: scene.speech.report()["chat_taken"] == 5)


async def test_streams_that_never_end_delay_no_other_sender(livekit: LiveKit) -> None:
    async with (
        voice_scene(livekit, voice=False) as scene,
        connected(Participant(), livekit, ROOM, "ann") as ann,
        AsyncExitStack() as stack,
    ):
        await eventually(lambda: scene.speech.voice is not None and len(scene.router.heartbeats) > 5)
        for number in range(8):
            participant = await stack.enter_async_context(connected(Participant(), livekit, ROOM, f"m{number}"))
            for _ in range(5):
                await participant.room.local_participant.stream_text(topic="lk.chat")
        await ann.send_chat("Rayroom, do you hear me?")
        await eventually(lambda: is_answered(ann, "ann"))
        await eventually(lambda: scene.speech.report()["chat_not_whole"] == 40)
        assert scene.speech.report()["chat_taken"] == 1


async def test_the_sender_of_a_rejected_message_is_notified_and_nobody_else(livekit: LiveKit) -> None:
    async with (
        voice_scene(livekit, voice=False) as scene,
        connected(Participant(), livekit, ROOM, "ann") as ann,
        connected(Participant(), livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: scene.speech.voice is not None and bob.agents() and len(scene.router.heartbeats) > 5)
        for _ in range(9):
            await bob.send_chat("x" * 9_000)
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: is_answered(bob, "ann") and notices_to(bob))
        await eventually(lambda: scene.speech.report()["chat_too_often"] >= 3)
        assert notices_to(bob) == [
            "Your message was not read: it is longer than 8192 bytes. Please write a shorter one.",
        ]
        assert notices_to(ann) == [] and scene.speech.report()["chat_too_long"] >= 5


async def test_a_message_of_another_agent_is_context_and_is_not_answered(livekit: LiveKit) -> None:
    bot = rtc.Room()
    async with voice_scene(livekit, voice=False) as scene, connected(Participant(), livekit, ROOM, "ann") as ann:
        await bot.connect(livekit.url, livekit.token(ROOM, "bot", agent=True))
        await eventually(lambda: scene.speech.voice is not None and len(ann.agents()) == 2)
        await bot.local_participant.send_text("Rayroom, the number is 4711.", topic="lk.chat")
        await eventually(lambda: scene.speech.report()["voice_not_for_us"] == 1)
        assert scene.router.chat_requests == []
        await ann.send_chat("What is it?")
        await eventually(lambda: ann.answers())
        assert "4711" in str(scene.router.chat_requests) and scene.speech.report()["voice_answers"] == 1
        await bot.disconnect()
