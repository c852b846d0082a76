"""An agent with STT and TTS in a real room: transcription, answers and barge-in."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from cluster.lab.demo.speech_synth import silence
from tests.acceptance.voice_scene import ROOM, asked, scene
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import joined
from tests.support.stack import eventually


async def test_a_spoken_question_is_answered_aloud_and_in_writing(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        room.emulator.script.add("What is on the screen?")
        await eventually(lambda: room.speech.voice is not None)
        await ann.speak(1_200)
        await eventually(lambda: ann.agent_speech_ms > 500 and ann.answers())
        said, answer = ann.transcripts
        assert (said.identity, said.text) == ("ann", "What is on the screen?")
        assert answer.text == "It says forty two." and answer.attributes["lk.transcription_final"] == "true"
        assert room.router.chats[0]["model"] == "auto" and room.router.chats[0]["stream"]
        assert room.router.chats[0]["messages"][-1]["content"] == "What is on the screen?"
    assert room.billed() == room.charged() and min(room.billed()) > 0


async def test_what_is_being_said_is_written_as_it_is_said_and_its_end_takes_its_place(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        said = "What is on the screen below the second chart?"
        await asked(room, ann, said, 3_000)
        await eventually(lambda: ann.answers())
        (line,) = (line for line in ann.transcripts if line.identity == "ann")
        assert ann.partial_transcripts and {(one.identity, one.segment) for one in ann.partial_transcripts} == {
            ("ann", line.segment)
        }
        assert line.text == said and all(len(one.text) <= len(said) for one in ann.partial_transcripts)


async def test_an_answer_that_is_rejected_has_the_router_told_so(livekit: LiveKit) -> None:
    async with scene(livekit, voice=False) as room, joined(livekit, ROOM, "ann") as ann:
        # A message to an agent that has just joined may be lost.
        await eventually(lambda: room.speech.voice is not None and ann.agents() and len(room.router.beats) > 5)
        for number, text in enumerate(("What is it?", "No, that's wrong.", "What is it called?"), 1):
            await ann.send_chat(text)
            await eventually(lambda number=number: len(ann.answers()) == number)  # type: ignore[misc]
        assert [chat.get("metadata") for chat in room.router.chats] == [None, {"last_answer": "failed"}, None]


async def test_speaking_stops_the_answer_and_its_request_and_what_was_sent_is_billed(livekit: LiveKit) -> None:
    router = ScriptedRouter(words=["Well, let me see. "] * 200, word_delay_s=0.05)
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "Tell me everything.")
        await eventually(lambda: ann.agent_speech_ms > 500)
        room.router.words = ["Sorry."]
        room.emulator.script.add("No, stop.")
        await ann.speak(1_000)
        await eventually(lambda: room.router.chats_cut == 1)
        await asyncio.sleep(0.5)
        heard_ms = ann.agent_speech_ms
        await asyncio.sleep(1.0)
        assert ann.agent_speech_ms == heard_ms
        await eventually(lambda: ann.answers())
        assert ann.answers()[0].attributes["rayroom.interrupted"] == "true"
        assert room.speech.report()["voice_interruptions"] == 1 and len(room.router.chats) == 1
    assert room.billed() == room.charged() and room.charged()[1] > 0


async def test_of_three_people_the_one_who_calls_the_agent_is_answered(livekit: LiveKit) -> None:
    async with (
        scene(livekit) as room,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
        joined(livekit, ROOM, "cat") as cat,
    ):
        await eventually(lambda: room.speech.report().get("hearing_microphones") == 3)
        await asked(room, bob, "I think that is wrong.")
        await asked(room, cat, "Me too, Bob.")
        await asked(room, ann, "Rayroom, what is on the screen?")
        await eventually(lambda: bob.answers() and cat.agent_speech_ms > 500)
        assert [line.attributes["rayroom.to"] for line in bob.answers()] == ["ann"]
        told = {line.identity: line.text for line in cat.transcripts if line.identity != "agent"}
        assert told == {
            "ann": "Rayroom, what is on the screen?",
            "bob": "I think that is wrong.",
            "cat": "Me too, Bob.",
        }
        # The others' words are in the context as quoted data, though they did not address the agent.
        (context,) = [m["content"] for m in room.router.chats[0]["messages"] if "that is wrong" in str(m["content"])]
        assert context.startswith("<<<data ")
    assert room.billed() == room.charged()


async def test_who_mutes_leaves_or_comes_back_is_heard_while_there(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await eventually(lambda: room.speech.report().get("hearing_microphones") == 2)
            await bob.unpublish_microphone()
            await eventually(lambda: room.speech.report()["hearing_microphones"] == 1)
            await bob.publish_microphone()
            await eventually(lambda: room.speech.report()["hearing_microphones"] == 2)
            await asked(room, bob, "Rayroom, what is it?")
            await eventually(lambda: bob.answers())
        await eventually(lambda: room.speech.report()["hearing_microphones"] == 1)
        # Alone with the agent, a question needs no name.
        await asked(room, ann, "And what is this?")
        await eventually(lambda: len(ann.answers()) == 2)


@pytest.mark.parametrize("who", ["ann", "agent"])
async def test_a_lost_connection_that_comes_back_is_heard_and_answered_on(livekit: LiveKit, who: str) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers() and ann.agent_speech_ms > 500)
        lost = ann.room if who == "ann" else room.session._room
        await lost.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await eventually(lambda: lost.isconnected() and room.speech.report()["hearing_microphones"] == 1)
        await asyncio.sleep(1.0)
        heard_ms = ann.agent_speech_ms
        await asked(room, ann, "And now?")
        await eventually(lambda: len(ann.answers()) == 2 and ann.agent_speech_ms > heard_ms + 500)


async def test_more_microphones_than_are_allowed_are_counted_and_not_heard(livekit: LiveKit) -> None:
    async with (
        scene(livekit, max_microphones=1) as room,
        joined(livekit, ROOM, "ann") as ann,
    ):
        await eventually(lambda: room.speech.report().get("hearing_microphones") == 1)
        async with joined(livekit, ROOM, "bob"):
            await eventually(lambda: room.speech.report()["hearing_microphones_refused"] == 1)
            assert room.speech.report()["hearing_microphones"] == 1
        await asked(room, ann, "Rayroom, what is it?")
        await eventually(lambda: ann.answers())


async def test_what_is_written_is_answered_and_a_flood_keeps_nobody_else_waiting(livekit: LiveKit) -> None:
    router = ScriptedRouter(words=["Yes."])
    async with (
        scene(livekit, router, voice=False) as room,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: room.speech.voice is not None)
        await bob.send_chat("x" * 1_000_000)
        for number in range(30):
            await bob.send_chat(f"Rayroom, what is {number}?")
        await ann.send_chat("Rayroom, is it so?")
        await eventually(lambda: any(line.attributes["rayroom.to"] == "ann" for line in ann.answers()))
        await eventually(lambda: room.speech.report()["chat_too_often"] >= 20)
        assert len(room.router.chats) <= 8 and room.emulator.journal[:] == []
        assert all("xxxx" not in str(chat) for chat in room.router.chats)


async def test_an_answer_names_the_passages_it_was_given_on_the_text_stream(livekit: LiveKit) -> None:
    router = ScriptedRouter(passages=[{"id": "p", "source": "handbook.md", "text": "It is 42.", "score": 0.9}])
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What does the handbook say?")
        await eventually(lambda: ann.answers())
        assert ann.answers()[0].sources == ["handbook.md"]


async def test_a_question_is_looked_up_once_before_its_pause_is_over_and_talk_among_people_never(
    livekit: LiveKit,
) -> None:
    async with (
        # A pause this long leaves time for the retrieval within it.
        scene(livekit, pause_s=4.0) as room,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: room.speech.report().get("hearing_microphones") == 2)
        await asked(room, bob, "I think that is wrong.")
        await bob.play(silence(4_000))
        await eventually(lambda: ann.transcripts)
        room.emulator.script.add("Rayroom, what is it?")
        await ann.speak(1_200)
        await eventually(lambda: room.router.searches)
        assert room.router.chats == [] and [line.identity for line in ann.transcripts] == ["bob"]
        await ann.play(silence(4_000))
        await eventually(lambda: ann.answers())
        # Late audio may become more than one utterance, but no text is searched twice.
        queries = [search["query"] for search in room.router.searches]
        assert queries[0] == "Rayroom, what is it?" and len(queries) == len(set(queries))
        assert not any("wrong" in query for query in queries)


async def test_nobody_in_the_room_can_drive_the_session_or_read_it(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann"):
        await eventually(lambda: room.speech.voice is not None)
        assert room.speech.voice is not None and room.speech.voice.speech_output is not None
        assert room.speech.voice.speech_output.session._session_host is None
        heard = room.session._room
        await eventually(heard._text_stream_handlers.keys)
        assert heard._text_stream_handlers.keys() | heard._byte_stream_handlers.keys() == {"lk.chat"}
