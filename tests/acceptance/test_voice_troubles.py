"""While a service fails, the agent announces it once, goes on with the others, and recovers."""

from __future__ import annotations

import asyncio

import pytest

from cluster.lab.emulator import Fault
from room_agent.audio.tts import REST_S
from room_agent.conversation.notices import NOTICE_TEXTS, Trouble
from tests.acceptance.voice_scene import ROOM, asked, scene
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import joined
from tests.support.stack import eventually

BROKEN = Fault(cut_after_chunks=0, close_code=1011, code="internal_error")


async def test_a_router_that_cannot_answer_is_apologised_for_once_and_asked_again(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.chat_statuses.extend([503] * 4)
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.agent_speech_ms > 500 and ann.notices())
        await eventually(lambda: len(room.router.chats) == 2)
        await asked(room, ann, "And now?")
        await eventually(lambda: len(room.router.chats) == 4)
        await asked(room, ann, "What about now?")
        await eventually(lambda: ann.answers())
        assert ann.notices() == [NOTICE_TEXTS[Trouble.THINKING]] and ann.answers()[0].text == "It says forty two."
    assert room.billed() == room.charged()


@pytest.mark.parametrize("words", [[], [" ", "\n"]])
async def test_an_answer_of_nothing_but_blanks_is_apologised_for_as_none(livekit: LiveKit, words: list[str]) -> None:
    router = ScriptedRouter(words=words)
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.agent_speech_ms > 500 and ann.notices())
        router.words = ["It says forty two."]
        await asked(room, ann, "And now?")
        await eventually(lambda: ann.answers())
        assert [answer.text for answer in ann.answers()] == ["It says forty two."]
        assert ann.notices() == [NOTICE_TEXTS[Trouble.THINKING]] and room.speech.report()["voice_answers"] == 1
        assert [chat.get("metadata") for chat in router.chats] == [None, {"last_answer": "failed"}]


async def test_a_token_that_is_no_longer_good_is_renewed_within_the_turn(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.chat_statuses.extend([401])
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers())
        assert room.router.chat_tokens == ["token-1", "token-2"] and ann.notices() == []


async def test_who_cannot_be_heard_is_told_so_once_and_may_write(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        # The fault has no limit: the number of attempts per utterance is tested elsewhere.
        room.emulator.plan(Fault(status=503), vendor="deepgram", times=1_000)
        await asked(room, ann, "Never heard.")
        await eventually(lambda: ann.notices())
        await ann.send_chat("Can you read me?")
        await eventually(lambda: ann.answers())
        lost = room.speech.report()["hearing_utterances_lost"]
        await asked(room, ann, "Never heard either.")
        await eventually(lambda: room.speech.report()["hearing_utterances_lost"] > lost)
        room.emulator.faults.clear()
        await asked(room, ann, "And now?")
        await eventually(lambda: len(ann.answers()) == 2)
        assert ann.notices() == [NOTICE_TEXTS[Trouble.HEARING]]


async def test_without_a_voice_the_whole_answer_is_written_and_the_voice_comes_back(livekit: LiveKit) -> None:
    async with scene(livekit, voice_fault=BROKEN) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers() and ann.notices())
        assert ann.answers()[0].text == "It says forty two." and ann.agent_speech_ms == 0
        assert ann.notices() == [NOTICE_TEXTS[Trouble.SPEAKING]]
        await asyncio.sleep(REST_S)
        await asked(room, ann, "And now?")
        await eventually(lambda: ann.agent_speech_ms > 500)
        assert room.speech.voice is not None and Trouble.SPEAKING not in room.speech.voice.notices


async def test_another_voice_takes_over_where_one_fails(livekit: LiveKit) -> None:
    models = ("eleven_flash_v2_5", "eleven_turbo_v2_5")
    async with (
        scene(livekit, voice_fault=BROKEN, tts_models=models) as room,
        joined(livekit, ROOM, "ann") as ann,
    ):
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.agent_speech_ms > 500)
        assert ann.notices() == []
    spoken = {seen.model: seen.characters for seen in room.emulator.journal if seen.characters}
    assert spoken["eleven_turbo_v2_5"] == len("It says forty two.")
    assert room.billed() == room.charged()


async def test_a_spent_budget_is_told_once_and_silence_kept_until_there_is_more(livekit: LiveKit) -> None:
    # Nearly spent: the reservation of an answer exceeds the rest.
    router = ScriptedRouter(budget={"spent_nanousd": 9, "limit_nanousd": 10})
    router.chat_statuses.extend([402])
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.notices() == [NOTICE_TEXTS[Trouble.BUDGET]])
        charged = room.charged()
        await asked(room, ann, "Not sent to anybody.")
        await ann.send_chat("Hello?")
        await asyncio.sleep(1.0)
        assert room.charged() == charged and len(room.router.chats) == 1 and ann.agent_speech_ms == 0
        room.router.budget = {"spent_nanousd": 9, "limit_nanousd": 20}
        await asyncio.sleep(0.5)
        await ann.speak(1_200)
        await eventually(lambda: ann.agent_speech_ms > 500)
        assert ann.notices() == [NOTICE_TEXTS[Trouble.BUDGET]]


async def test_speech_while_the_router_was_away_is_billed_when_it_is_back(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers())
        router.beat_statuses.extend([503] * 30)
        await asked(room, ann, "And this?")
        await eventually(lambda: len(ann.answers()) == 2)
    assert room.billed() == room.charged() and room.speech.usage.unbilled == {"stt": 0, "tts": 0}
