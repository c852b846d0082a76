"""Chat with the agent in a real room: reading, limits, and notices to senders of rejected messages."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from livekit import rtc

from tests.acceptance.voice_scene import ROOM, scene
from tests.support.livekit_server import LiveKit
from tests.support.participant import Participant, connected
from tests.support.scripted_router import ScriptedRouter
from tests.support.stack import eventually


def answered(seat: Participant, identity: str) -> bool:
    return any(line.attributes["rayroom.to"] == identity for line in seat.answers())


def lines(seat: Participant) -> list[str]:
    """Return the agent's notices."""
    return [line.text for line in seat.texts_on("lk.transcription") if line not in seat.answers()]


async def test_what_is_written_before_the_room_is_open_is_answered_once_it_is(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.open_statuses.extend([503] * 5)
    async with scene(livekit, router, voice=False) as room, connected(Participant(), livekit, ROOM, "ann") as ann:
        await eventually(ann.agents)
        # The server forwards nothing to a participant that has just joined.
        await asyncio.sleep(1.0)
        await ann.send_chat("What is it?")
        assert router.opened == 0
        await eventually(lambda: ann.answers())
        assert room.speech.report()["chat_taken"] == 1


async def test_five_messages_at_once_are_all_read(livekit: LiveKit) -> None:
    async with scene(livekit, voice=False) as room, connected(Participant(), livekit, ROOM, "ann") as ann:
        await eventually(lambda: room.speech.voice is not None and ann.agents() and len(room.router.beats) > 5)
        await asyncio.gather(*(ann.send_chat(f"What is {number}?") for number in range(5)))
        await eventually(lambda: room.speech.report()["chat_taken"] == 5)


async def test_streams_that_are_never_closed_keep_nobody_else_waiting(livekit: LiveKit) -> None:
    async with (
        scene(livekit, voice=False) as room,
        connected(Participant(), livekit, ROOM, "ann") as ann,
        AsyncExitStack() as crowd,
    ):
        await eventually(lambda: room.speech.voice is not None and len(room.router.beats) > 5)
        for number in range(8):
            seat = await crowd.enter_async_context(connected(Participant(), livekit, ROOM, f"m{number}"))
            for _ in range(5):
                await seat.room.local_participant.stream_text(topic="lk.chat")
        await ann.send_chat("Rayroom, do you hear me?")
        await eventually(lambda: answered(ann, "ann"))
        await eventually(lambda: room.speech.report()["chat_not_whole"] == 40)
        assert room.speech.report()["chat_taken"] == 1


async def test_who_writes_what_is_not_read_is_told_so_and_nobody_else_is(livekit: LiveKit) -> None:
    async with (
        scene(livekit, voice=False) as room,
        connected(Participant(), livekit, ROOM, "ann") as ann,
        connected(Participant(), livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: room.speech.voice is not None and bob.agents() and len(room.router.beats) > 5)
        for _ in range(9):
            await bob.send_chat("x" * 9_000)
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: answered(bob, "ann") and lines(bob))
        await eventually(lambda: room.speech.report()["chat_too_often"] >= 3)
        assert lines(bob) == [
            "Your message was not read: it is longer than 8192 bytes. Please write a shorter one.",
        ]
        assert lines(ann) == [] and room.speech.report()["chat_too_long"] >= 5


async def test_what_another_agent_writes_is_remembered_and_not_answered(livekit: LiveKit) -> None:
    bot = rtc.Room()
    async with scene(livekit, voice=False) as room, connected(Participant(), livekit, ROOM, "ann") as ann:
        await bot.connect(livekit.url, livekit.token(ROOM, "bot", agent=True))
        await eventually(lambda: room.speech.voice is not None and len(ann.agents()) == 2)
        await bot.local_participant.send_text("Rayroom, the number is 4711.", topic="lk.chat")
        await eventually(lambda: room.speech.report()["voice_not_for_us"] == 1)
        assert room.router.chats == []
        await ann.send_chat("What is it?")
        await eventually(lambda: ann.answers())
        assert "4711" in str(room.router.chats) and room.speech.report()["voice_answers"] == 1
        await bot.disconnect()
