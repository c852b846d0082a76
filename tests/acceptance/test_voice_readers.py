"""Participants who do not subscribe to the agent's audio get complete, prompt answers that cost no TTS."""

from __future__ import annotations

import pytest
from livekit import api, rtc

from room_agent.conversation.notices import NOTICE_TEXTS, Trouble
from tests.acceptance.voice_scene import ROOM, speak_question, voice_scene
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.participant import Participant, connected
from tests.support.speaking_participant import joined

WITHOUT_AUDIO = rtc.RoomOptions(auto_subscribe=False)


async def set_agent_may_publish(livekit: LiveKit, allowed: bool) -> None:
    """Allow or forbid the room's agent to publish tracks."""
    permission = api.ParticipantPermission(can_subscribe=True, can_publish=allowed, can_publish_data=True)
    update = api.UpdateParticipantRequest(room=ROOM, identity="agent", permission=permission)
    async with api.LiveKitAPI(livekit.url.replace("ws", "http", 1), livekit.key, livekit.secret) as client:
        await client.room.update_participant(update)


async def test_a_participant_without_audio_gets_complete_answers_and_delays_nobody(livekit: LiveKit) -> None:
    async with (
        voice_scene(livekit) as scene,
        connected(Participant(options=WITHOUT_AUDIO), livekit, ROOM, "ann") as ann,
        connected(Participant(options=WITHOUT_AUDIO), livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: scene.speech.voice is not None and ann.agents() and bob.agents())
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: ann.answers())
        await bob.send_chat("Rayroom, and for me?")
        await eventually(lambda: len(ann.answers()) == 2)
        assert [answer.text for answer in ann.answers()] == ["It says forty two."] * 2
        assert scene.charged() == (0, 0) and ann.texts_on("lk.transcription") == ann.answers()
        async with joined(livekit, ROOM, "carol") as carol:
            await speak_question(scene, carol, "Rayroom, and for me?")
            await eventually(lambda: carol.agent_speech_ms > 500 and len(ann.answers()) == 3)
    assert scene.billed() == scene.charged()


async def test_a_failure_to_publish_the_agents_audio_is_announced_once_and_recovers(
    livekit: LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("room_agent.audio.tts.COOLDOWN_S", 2.0)
    async with voice_scene(livekit) as scene:
        await set_agent_may_publish(livekit, False)
        async with joined(livekit, ROOM, "ann") as ann:
            await eventually(lambda: ann.notices())
            await speak_question(scene, ann, "What is it?")
            await eventually(lambda: ann.answers())
            assert ann.notices() == [NOTICE_TEXTS[Trouble.SPEAKING]] and ann.agent_speech_ms == 0
            await set_agent_may_publish(livekit, True)
            await eventually(lambda: "agent" in ann.recordings)
            await speak_question(scene, ann, "And now?")
            await eventually(lambda: ann.agent_speech_ms > 500)
            assert ann.notices() == [NOTICE_TEXTS[Trouble.SPEAKING]]
    assert scene.billed() == scene.charged()
