"""Questions and answers while the asker or the agent is disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from livekit import rtc

from cluster.lab.demo.speech_synth import speech
from room_agent.core.participants import LEFT_S
from tests.acceptance.voice_scene import ROOM, Scene, asked, scene
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import SpeakingParticipant, joined
from tests.support.stack import eventually


async def present(room: Scene, *people: SpeakingParticipant) -> None:
    """Wait until chat reaches the agent: a message to a participant that has just joined may be lost."""
    await eventually(lambda: room.speech.voice is not None and all(one.agents() for one in people))
    await eventually(lambda: len(room.router.beats) > 5)


@asynccontextmanager
async def while_ann_is_answered(livekit: LiveKit) -> AsyncIterator[tuple[Scene, SpeakingParticipant]]:
    """Yield a room with bob in it while a question of ann is answered for some seconds."""
    router = ScriptedRouter(words=["Well, let me see. "] * 8, word_delay_s=0.5)
    async with (
        scene(livekit, router, voice=False) as room,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await present(room, ann, bob)
        await ann.send_chat("Rayroom, tell me everything.")
        await eventually(lambda: router.chats)
        yield room, bob


@pytest.mark.parametrize("who", ["ann", "agent"])
@pytest.mark.parametrize("begun", [False, True])
async def test_an_answer_outlives_a_connection_that_is_set_up_anew(livekit: LiveKit, who: str, begun: bool) -> None:
    router = ScriptedRouter(words=["Well, let me see. "] * 8, word_delay_s=1.0)
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.agent_speech_ms > 300 if begun else router.chats)
        lost = ann.room if who == "ann" else room.session._room
        await lost.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await eventually(lambda: room.speech.report().get("voice_answers") == 1)
        heard_ms = ann.agent_speech_ms
        await eventually(lambda: ann.agent_speech_ms > heard_ms + 300)
        assert len(router.chats) == 1 and router.chats_cut == 0
        assert room.speech.report()["voice_interruptions"] == 0
    assert room.billed() == room.charged()


async def test_a_question_that_is_taken_as_said_while_its_asker_is_away_is_answered_once_they_are_back(
    livekit: LiveKit,
) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann, joined(livekit, ROOM, "bob") as bob:
        await eventually(lambda: room.speech.report().get("hearing_microphones") == 2)
        room.emulator.script.add("Rayroom, what is it?")
        await ann.play(speech(1_500))
        await ann.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await eventually(lambda: bob.answers())
        assert [chat["messages"][-1]["content"] for chat in room.router.chats] == ["Rayroom, what is it?"]
        assert room.speech.report()["voice_not_for_us"] == 0


async def test_the_answer_to_somebody_who_left_ends_after_a_while_though_nothing_else_happens(
    livekit: LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = ScriptedRouter(words=["Well, let me see. "] * 400, word_delay_s=0.1)
    async with scene(livekit, router, voice=False) as room, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await present(room, ann, bob)
            await bob.send_chat("Rayroom, tell me everything.")
            await eventually(lambda: router.chats)
            # No room event and no heartbeat triggers it: only the periodic check does.
            monkeypatch.setattr(room.speech, "follow", lambda: None)
        await asyncio.sleep(LEFT_S / 2)
        assert router.chats_cut == 0
        await eventually(lambda: router.chats_cut == 1, 2 * LEFT_S)
        await eventually(lambda: ann.answers())
        assert ann.answers()[0].attributes["rayroom.interrupted"] == "true"
        assert room.speech.report()["voice_interruptions"] == 1 and len(router.chats) == 1


async def test_a_question_that_waited_when_its_asker_left_is_not_asked(livekit: LiveKit) -> None:
    router = ScriptedRouter(words=["Well, let me see. "] * 20, word_delay_s=0.1)
    async with scene(livekit, router, voice=False) as room, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await present(room, ann, bob)
            await ann.send_chat("Rayroom, tell me everything.")
            await eventually(lambda: router.chats)
            await bob.send_chat("Rayroom, what is my salary?")
            await eventually(lambda: len(room.speech.voice.responder.askers) == 2)  # type: ignore[union-attr]
        await eventually(lambda: ann.answers())
        router.words = ["Yes."]
        await ann.send_chat("And is it so?")
        await eventually(lambda: len(ann.answers()) == 2)
        await eventually(lambda: not room.speech.voice.responder.askers)  # type: ignore[union-attr]
        asks = [chat["messages"][-1]["content"] for chat in router.chats]
        assert asks == ["Rayroom, tell me everything.", "And is it so?"]


async def test_what_is_said_to_another_while_an_answer_is_awaited_is_not_sent_with_the_question(
    livekit: LiveKit,
) -> None:
    router = ScriptedRouter(words=["Yes."], word_delay_s=2.5)
    async with (
        scene(livekit, router, voice=False) as room,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await present(room, ann, bob)
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: router.chats)
        await ann.send_chat("Bob, my password is hunter two.")
        await ann.send_chat("mm-hmm")
        await eventually(lambda: room.speech.report()["voice_not_for_us"] == 2)
        await eventually(lambda: ann.answers())
        assert [chat["messages"][-1]["content"] for chat in router.chats] == ["Rayroom, what is it?"]
        assert router.chats_cut == 0


async def test_what_goes_on_with_a_question_before_a_word_of_the_answer_is_asked_with_it(livekit: LiveKit) -> None:
    router = ScriptedRouter(words=["Yes."], word_delay_s=2.0)
    async with (
        scene(livekit, router, voice=False) as room,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await present(room, ann, bob)
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: router.chats)
        await ann.send_chat("The one below, I mean.")
        await eventually(lambda: ann.answers())
        assert router.chats[-1]["messages"][-1]["content"] == "Rayroom, what is it? The one below, I mean."
        assert len(router.chats) == 2 and router.chats_cut == 1


async def test_what_goes_on_with_a_question_while_another_is_answered_is_asked_with_it(livekit: LiveKit) -> None:
    async with while_ann_is_answered(livekit) as (room, bob):
        for text in ("Rayroom?", "What is the total?", "Rayroom, for March!", "Okay."):
            await bob.send_chat(text)
        await eventually(lambda: len(room.router.chats) == 2)
        assert room.router.chats[-1]["messages"][-1]["content"] == "Rayroom? What is the total? Rayroom, for March!"
        assert room.router.chats_cut == 0


async def test_who_waits_and_never_minds_stops_nobody_elses_answer(livekit: LiveKit) -> None:
    async with while_ann_is_answered(livekit) as (room, bob):
        await bob.send_chat("Rayroom, what is it?")
        await bob.send_chat("Never mind.")
        await eventually(lambda: room.speech.report().get("voice_answers") == 1)
        assert len(room.router.chats) == 1 and room.router.chats_cut == 0
        assert room.speech.voice is not None and not room.speech.voice.responder.askers - {"ann"}


async def test_who_dropped_out_unnoticed_is_called_and_the_agent_does_not_answer_for_them(livekit: LiveKit) -> None:
    async with scene(livekit, voice=False) as room, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await present(room, ann, bob)
        await eventually(lambda: "bob" not in room.session._room.remote_participants)
        await ann.send_chat("Bob, are you still there?")
        await eventually(lambda: room.speech.report()["voice_not_for_us"] == 1)
        await ann.send_chat("What is it?")
        await eventually(lambda: ann.answers())
        assert [chat["messages"][-1]["content"] for chat in room.router.chats] == ["What is it?"]
