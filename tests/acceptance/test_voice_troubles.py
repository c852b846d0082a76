"""While a service fails, the agent announces it once, goes on with the others, and recovers."""

from __future__ import annotations

import asyncio

import pytest

from cluster.lab.emulator import Fault
from room_agent.conversation.notices import NOTICE_TEXTS, Trouble
from tests.acceptance.voice_scene import ROOM, speak_question, voice_scene
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import joined

COOLDOWN_S = 2.0
TTS_FAULT = Fault(cut_after_chunks=0, close_code=1011, code="internal_error")


async def test_a_failing_router_is_announced_once_and_used_again(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.chat_statuses.extend([503] * 4)
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.agent_speech_ms > 500 and ann.notices())
        await eventually(lambda: len(scene.router.chat_requests) == 2)
        await speak_question(scene, ann, "And now?")
        await eventually(lambda: len(scene.router.chat_requests) == 4)
        await speak_question(scene, ann, "What about now?")
        await eventually(lambda: ann.answers())
        assert ann.notices() == [NOTICE_TEXTS[Trouble.THINKING]] and ann.answers()[0].text == "It says forty two."
    assert scene.billed() == scene.charged()


async def test_a_blank_answer_is_announced_as_a_missing_one(livekit: LiveKit) -> None:
    router = ScriptedRouter(answer_chunks=[" ", "\n"])
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "Rayroom, what is it?")
        await eventually(lambda: ann.agent_speech_ms > 500 and ann.notices())
        router.answer_chunks = ["It says forty two."]
        await speak_question(scene, ann, "Rayroom, and now?")
        await eventually(lambda: ann.answers())
        assert [answer.text for answer in ann.answers()] == ["It says forty two."]
        assert ann.notices() == [NOTICE_TEXTS[Trouble.THINKING]] and scene.speech.report()["voice_answers"] == 1
        assert [chat.get("metadata") for chat in router.chat_requests] == [None, {"last_answer": "failed"}]


async def test_an_expired_token_is_renewed_within_the_turn(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.chat_statuses.extend([401])
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.answers())
        assert scene.router.chat_tokens == ["token-1", "token-2"] and ann.notices() == []


async def test_a_failure_of_stt_is_announced_once_and_chat_still_works(livekit: LiveKit) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        # Every attempt fails; other tests count the attempts of an utterance.
        scene.emulator.plan(Fault(status=503), vendor="deepgram", times=1_000)
        await speak_question(scene, ann, "Never heard.")
        await eventually(lambda: ann.notices())
        await ann.send_chat("Can you read me?")
        await eventually(lambda: ann.answers())
        lost_before = scene.speech.report()["hearing_utterances_lost"]
        await speak_question(scene, ann, "Never heard either.")
        await eventually(lambda: scene.speech.report()["hearing_utterances_lost"] > lost_before)
        scene.emulator.faults.clear()
        await speak_question(scene, ann, "And now?")
        await eventually(lambda: len(ann.answers()) == 2)
        assert ann.notices() == [NOTICE_TEXTS[Trouble.HEARING]]


async def test_an_answer_without_tts_is_written_and_tts_recovers(
    livekit: LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("room_agent.audio.tts.COOLDOWN_S", COOLDOWN_S)
    async with voice_scene(livekit, voice_fault=TTS_FAULT) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.answers() and ann.notices())
        assert ann.answers()[0].text == "It says forty two." and ann.agent_speech_ms == 0
        assert ann.notices() == [NOTICE_TEXTS[Trouble.SPEAKING]]
        await asyncio.sleep(COOLDOWN_S)
        await speak_question(scene, ann, "And now?")
        await eventually(lambda: ann.agent_speech_ms > 500)
        assert scene.speech.voice is not None and Trouble.SPEAKING not in scene.speech.voice.notices


async def test_another_tts_model_replaces_a_failing_one(livekit: LiveKit) -> None:
    models = ("eleven_flash_v2_5", "eleven_turbo_v2_5")
    async with (
        voice_scene(livekit, voice_fault=TTS_FAULT, tts_models=models) as scene,
        joined(livekit, ROOM, "ann") as ann,
    ):
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.agent_speech_ms > 500)
        assert ann.notices() == []
    characters = {request.model: request.characters for request in scene.emulator.journal if request.characters}
    assert characters["eleven_turbo_v2_5"] == len("It says forty two.")
    assert scene.billed() == scene.charged()


async def test_a_spent_budget_is_announced_once_and_pauses_answers_until_it_is_raised(livekit: LiveKit) -> None:
    # The rest of the budget is smaller than the reservation of an answer.
    router = ScriptedRouter(budget={"spent_nanousd": 9, "limit_nanousd": 10})
    router.chat_statuses.extend([402])
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.notices() == [NOTICE_TEXTS[Trouble.BUDGET]])
        charged_before = scene.charged()
        await speak_question(scene, ann, "Not sent to anybody.")
        await ann.send_chat("Hello?")
        await asyncio.sleep(1.0)
        assert scene.charged() == charged_before and len(scene.router.chat_requests) == 1 and ann.agent_speech_ms == 0
        scene.router.budget = {"spent_nanousd": 9, "limit_nanousd": 20}
        await asyncio.sleep(0.5)
        await ann.speak(1_200)
        await eventually(lambda: ann.agent_speech_ms > 500)
        assert ann.notices() == [NOTICE_TEXTS[Trouble.BUDGET]]


async def test_speech_during_failing_heartbeats_is_billed_afterwards(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.answers())
        router.heartbeat_statuses.extend([503] * 30)
        await speak_question(scene, ann, "And this?")
        await eventually(lambda: len(ann.answers()) == 2)
    assert scene.billed() == scene.charged() and scene.speech.usage.unbilled == {"stt": 0, "tts": 0}
