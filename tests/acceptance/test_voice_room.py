"""An agent with STT and TTS in a real room: transcription, answers and barge-in."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from cluster.lab.demo.speech_synth import silence
from room_agent.conversation.llm import MAX_OUTPUT_TOKENS
from tests.acceptance.voice_scene import ROOM, speak_question, voice_scene
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import joined


async def test_a_spoken_question_is_answered_in_speech_and_text(livekit: LiveKit) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        scene.emulator.script.add("What is on the screen?")
        await eventually(lambda: scene.speech.voice is not None)
        await ann.speak(1_200)
        await eventually(lambda: ann.agent_speech_ms > 500 and ann.answers())
        transcript, answer = ann.transcripts
        assert (transcript.identity, transcript.text) == ("ann", "What is on the screen?")
        assert answer.text == "It says forty two." and answer.attributes["lk.transcription_final"] == "true"
        assert scene.router.chat_requests[0]["model"] == "auto" and scene.router.chat_requests[0]["stream"]
        assert scene.router.chat_requests[0]["messages"][-1]["content"] == "What is on the screen?"
        assert scene.router.chat_requests[0]["max_completion_tokens"] == MAX_OUTPUT_TOKENS
    assert scene.billed() == scene.charged() and min(scene.billed()) > 0


async def test_partial_transcripts_are_published_and_replaced_by_the_final_one(livekit: LiveKit) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        question = "What is on the screen below the second chart?"
        await speak_question(scene, ann, question, 3_000)
        await eventually(lambda: ann.answers())
        (text,) = (text for text in ann.transcripts if text.identity == "ann")
        assert ann.partial_transcripts and {
            (partial.identity, partial.segment) for partial in ann.partial_transcripts
        } == {("ann", text.segment)}
        assert text.text == question and all(len(partial.text) <= len(question) for partial in ann.partial_transcripts)


async def test_a_rejected_answer_is_reported_to_the_router(livekit: LiveKit) -> None:
    async with voice_scene(livekit, voice=False) as scene, joined(livekit, ROOM, "ann") as ann:
        # A message to an agent that has just joined may be lost.
        await eventually(lambda: scene.speech.voice is not None and ann.agents() and len(scene.router.heartbeats) > 5)
        for number, text in enumerate(("What is it?", "No, that's wrong.", "What is it called?"), 1):
            await ann.send_chat(text)
            await eventually(lambda number=number: len(ann.answers()) == number)  # type: ignore[misc]
        assert [chat.get("metadata") for chat in scene.router.chat_requests] == [None, {"last_answer": "failed"}, None]


async def test_barge_in_stops_the_answer_and_its_request_and_the_sent_part_is_billed(livekit: LiveKit) -> None:
    router = ScriptedRouter(answer_chunks=["Well, let me see. "] * 200, chunk_delay_s=0.05)
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "Tell me everything.")
        await eventually(lambda: ann.agent_speech_ms > 500)
        scene.router.answer_chunks = ["Sorry."]
        scene.emulator.script.add("No, stop.")
        await ann.speak(1_000)
        await eventually(lambda: scene.router.cancelled_chats == 1)
        await asyncio.sleep(0.5)
        speech_ms = ann.agent_speech_ms
        await asyncio.sleep(1.0)
        assert ann.agent_speech_ms == speech_ms
        await eventually(lambda: ann.answers())
        assert ann.answers()[0].attributes["rayroom.interrupted"] == "true"
        assert scene.speech.report()["voice_interruptions"] == 1 and len(scene.router.chat_requests) == 1
    assert scene.billed() == scene.charged() and scene.charged()[1] > 0


async def test_the_one_of_three_participants_who_calls_the_agent_is_answered(livekit: LiveKit) -> None:
    async with (
        voice_scene(livekit) as scene,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
        joined(livekit, ROOM, "cat") as cat,
    ):
        await eventually(lambda: scene.speech.report().get("hearing_microphones") == 3)
        await speak_question(scene, bob, "I think that is wrong.")
        await speak_question(scene, cat, "Me too, Bob.")
        await speak_question(scene, ann, "Rayroom, what is on the screen?")
        await eventually(lambda: bob.answers() and cat.agent_speech_ms > 500)
        assert [text.attributes["rayroom.to"] for text in bob.answers()] == ["ann"]
        transcripts = {text.identity: text.text for text in cat.transcripts if text.identity != "agent"}
        assert transcripts == {
            "ann": "Rayroom, what is on the screen?",
            "bob": "I think that is wrong.",
            "cat": "Me too, Bob.",
        }
        # Speech to other participants is in the context too, as quoted data.
        (context,) = [
            message["content"]
            for message in scene.router.chat_requests[0]["messages"]
            if "that is wrong" in str(message["content"])
        ]
        assert context.startswith("<<<data ")
    assert scene.billed() == scene.charged()


async def test_a_participant_who_mutes_leaves_or_returns_is_transcribed_while_present(livekit: LiveKit) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await eventually(lambda: scene.speech.report().get("hearing_microphones") == 2)
            await bob.unpublish_microphone()
            await eventually(lambda: scene.speech.report()["hearing_microphones"] == 1)
            await bob.publish_microphone()
            await eventually(lambda: scene.speech.report()["hearing_microphones"] == 2)
            await speak_question(scene, bob, "Rayroom, what is it?")
            await eventually(lambda: bob.answers())
        await eventually(lambda: scene.speech.report()["hearing_microphones"] == 1)
        # A participant who is alone with the agent need not name it.
        await speak_question(scene, ann, "And what is this?")
        await eventually(lambda: len(ann.answers()) == 2)


@pytest.mark.parametrize("disconnected", ["ann", "agent"])
async def test_questions_are_answered_after_a_reconnect(livekit: LiveKit, disconnected: str) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.answers() and ann.agent_speech_ms > 500)
        room = ann.room if disconnected == "ann" else scene.session._room
        await room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await eventually(lambda: room.isconnected() and scene.speech.report()["hearing_microphones"] == 1)
        await asyncio.sleep(1.0)
        speech_ms = ann.agent_speech_ms
        await speak_question(scene, ann, "And now?")
        await eventually(lambda: len(ann.answers()) == 2 and ann.agent_speech_ms > speech_ms + 500)


async def test_microphones_beyond_the_limit_are_counted_and_not_transcribed(livekit: LiveKit) -> None:
    async with (
        voice_scene(livekit, max_microphones=1) as scene,
        joined(livekit, ROOM, "ann") as ann,
    ):
        await eventually(lambda: scene.speech.report().get("hearing_microphones") == 1)
        async with joined(livekit, ROOM, "bob"):
            await eventually(lambda: scene.speech.report()["hearing_microphones_refused"] == 1)
            assert scene.speech.report()["hearing_microphones"] == 1
        await speak_question(scene, ann, "Rayroom, what is it?")
        await eventually(lambda: ann.answers())


async def test_a_message_is_answered_during_a_flood_of_another_sender(livekit: LiveKit) -> None:
    router = ScriptedRouter(answer_chunks=["Yes."])
    async with (
        voice_scene(livekit, router, voice=False) as scene,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: scene.speech.voice is not None)
        await bob.send_chat("x" * 1_000_000)
        for number in range(30):
            await bob.send_chat(f"Rayroom, what is {number}?")
        await ann.send_chat("Rayroom, is it so?")
        await eventually(lambda: any(text.attributes["rayroom.to"] == "ann" for text in ann.answers()))
        await eventually(lambda: scene.speech.report()["chat_too_often"] >= 20)
        assert len(scene.router.chat_requests) <= 8 and scene.emulator.journal[:] == []
        assert all("xxxx" not in str(chat) for chat in scene.router.chat_requests)


async def test_an_answer_names_its_sources_on_the_text_stream(livekit: LiveKit) -> None:
    router = ScriptedRouter(passages=[{"id": "p", "source": "handbook.md", "text": "It is 42.", "score": 0.9}])
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What does the handbook say?")
        await eventually(lambda: ann.answers())
        assert ann.answers()[0].sources == ["handbook.md"]


async def test_a_question_is_searched_once_before_its_pause_ends_and_other_talk_never(
    livekit: LiveKit,
) -> None:
    async with (
        # A pause this long leaves time for the retrieval within it.
        voice_scene(livekit, pause_s=4.0) as scene,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: scene.speech.report().get("hearing_microphones") == 2)
        await speak_question(scene, bob, "I think that is wrong.")
        await bob.play(silence(4_000))
        await eventually(lambda: ann.transcripts)
        scene.emulator.script.add("Rayroom, what is it?")
        await ann.speak(1_200)
        await eventually(lambda: scene.router.search_requests)
        assert scene.router.chat_requests == [] and [text.identity for text in ann.transcripts] == ["bob"]
        await ann.play(silence(4_000))
        await eventually(lambda: ann.answers())
        # Late audio may become more than one utterance, but no text is searched twice.
        queries = [search["query"] for search in scene.router.search_requests]
        assert queries[0] == "Rayroom, what is it?" and len(queries) == len(set(queries))
        assert not any("wrong" in query for query in queries)


async def test_no_participant_can_control_or_read_the_agents_session(livekit: LiveKit) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann"):
        await eventually(lambda: scene.speech.voice is not None)
        assert scene.speech.voice is not None and scene.speech.voice.speech_output is not None
        assert scene.speech.voice.speech_output.session._session_host is None
        agent_room = scene.session._room
        await eventually(agent_room._text_stream_handlers.keys)
        assert agent_room._text_stream_handlers.keys() | agent_room._byte_stream_handlers.keys() == {"lk.chat"}
