"""Participants who do not subscribe to the agent's audio get complete, prompt answers that cost no TTS."""

from __future__ import annotations

from livekit import api, rtc

from room_agent.conversation.notices import NOTICE_TEXTS, Trouble
from tests.acceptance.voice_scene import ROOM, asked, scene
from tests.support.livekit_server import LiveKit
from tests.support.participant import Participant, connected
from tests.support.speaking_participant import joined
from tests.support.stack import eventually

HEARS_NOTHING = rtc.RoomOptions(auto_subscribe=False)


async def may_publish(livekit: LiveKit, may: bool) -> None:
    """Allow or forbid the room's agent to publish tracks."""
    permission = api.ParticipantPermission(can_subscribe=True, can_publish=may, can_publish_data=True)
    change = api.UpdateParticipantRequest(room=ROOM, identity="agent", permission=permission)
    async with api.LiveKitAPI(livekit.url.replace("ws", "http", 1), livekit.key, livekit.secret) as server:
        await server.room.update_participant(change)


async def test_who_only_reads_gets_whole_answers_and_keeps_nobody_waiting(livekit: LiveKit) -> None:
    async with (
        scene(livekit) as room,
        connected(Participant(options=HEARS_NOTHING), livekit, ROOM, "ann") as ann,
        connected(Participant(options=HEARS_NOTHING), livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: room.speech.voice is not None and ann.agents() and bob.agents())
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: ann.answers())
        await bob.send_chat("Rayroom, and for me?")
        await eventually(lambda: len(ann.answers()) == 2)
        assert [answer.text for answer in ann.answers()] == ["It says forty two."] * 2
        assert room.charged() == (0, 0) and ann.texts_on("lk.transcription") == ann.answers()
        async with joined(livekit, ROOM, "carol") as carol:
            await asked(room, carol, "Rayroom, and for me?")
            await eventually(lambda: carol.agent_speech_ms > 500 and len(ann.answers()) == 3)
    assert room.billed() == room.charged()


async def test_a_voice_that_the_server_did_not_take_is_told_of_once_and_comes_back(livekit: LiveKit) -> None:
    async with scene(livekit) as room:
        await may_publish(livekit, False)
        async with joined(livekit, ROOM, "ann") as ann:
            await eventually(lambda: ann.notices())
            await asked(room, ann, "What is it?")
            await eventually(lambda: ann.answers())
            assert ann.notices() == [NOTICE_TEXTS[Trouble.SPEAKING]] and ann.agent_speech_ms == 0
            await may_publish(livekit, True)
            await eventually(lambda: "agent" in ann.recordings)
            await asked(room, ann, "And now?")
            await eventually(lambda: ann.agent_speech_ms > 500)
            assert ann.notices() == [NOTICE_TEXTS[Trouble.SPEAKING]]
    assert room.billed() == room.charged()
