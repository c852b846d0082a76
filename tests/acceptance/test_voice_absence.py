"""Questions and answers while the asker or the agent is disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from livekit import rtc

from cluster.lab.demo.speech_synth import speech
from tests.acceptance.voice_scene import ROOM, VoiceScene, speak_question, voice_scene
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import SpeakingParticipant, joined

SENTENCE = "Well, let me see. "
LEFT_S = 4.0
"""In place of ten seconds of absence, after which a participant counts as gone."""


@pytest.fixture
def left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("room_agent.core.participants.LEFT_S", LEFT_S)


async def reconnect(room: rtc.Room) -> None:
    """Lose the connection of `room`; return once it is there again."""
    reconnected = asyncio.Event()
    room.on("reconnected", reconnected.set)
    await room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
    async with asyncio.timeout(60.0):
        await reconnected.wait()


async def wait_for_chat(scene: VoiceScene, *participants: SpeakingParticipant) -> None:
    """Wait until chat reaches the agent, because a message to a participant that has just joined may be lost."""
    await eventually(
        lambda: scene.speech.voice is not None and all(participant.agents() for participant in participants)
    )
    await eventually(lambda: len(scene.router.heartbeats) > 5)


@asynccontextmanager
async def answering_ann(livekit: LiveKit) -> AsyncIterator[tuple[VoiceScene, SpeakingParticipant]]:
    """Yield a room with bob in it while a question of ann is answered, until the router may finish."""
    router = ScriptedRouter(answer_chunks=[SENTENCE])
    router.may_finish.clear()
    async with (
        voice_scene(livekit, router, voice=False) as scene,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await wait_for_chat(scene, ann, bob)
        await ann.send_chat("Rayroom, tell me everything.")
        await eventually(lambda: router.chat_requests)
        yield scene, bob


@pytest.mark.parametrize("disconnected", ["ann", "agent"])
@pytest.mark.parametrize("speaking", [False, True])
async def test_an_answer_continues_after_a_reconnect(livekit: LiveKit, disconnected: str, speaking: bool) -> None:
    router = ScriptedRouter(answer_chunks=[SENTENCE] * 4, last_chunks=[SENTENCE] * 6)
    router.may_finish.clear()
    async with voice_scene(livekit, router) as scene, joined(livekit, ROOM, "ann") as ann:
        await speak_question(scene, ann, "What is it?")
        await eventually(lambda: ann.agent_speech_ms > 300 if speaking else router.chat_requests)
        await reconnect(ann.room if disconnected == "ann" else scene.session._room)
        speech_ms = ann.agent_speech_ms
        router.may_finish.set()
        await eventually(lambda: scene.speech.report().get("voice_answers") == 1)
        await eventually(lambda: ann.agent_speech_ms > speech_ms + 300)
        assert len(router.chat_requests) == 1 and router.cancelled_chats == 0
        assert scene.speech.report()["voice_interruptions"] == 0
    assert scene.billed() == scene.charged()


async def test_a_question_transcribed_during_a_reconnect_is_answered_afterwards(
    livekit: LiveKit,
) -> None:
    async with voice_scene(livekit) as scene, joined(livekit, ROOM, "ann") as ann, joined(livekit, ROOM, "bob") as bob:
        await eventually(lambda: scene.speech.report().get("hearing_microphones") == 2)
        scene.emulator.script.add("Rayroom, what is it?")
        await ann.play(speech(1_500))
        await ann.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await eventually(lambda: bob.answers())
        assert [request["messages"][-1]["content"] for request in scene.router.chat_requests] == [
            "Rayroom, what is it?"
        ]
        assert scene.speech.report()["voice_not_for_us"] == 0


async def test_the_answer_to_a_participant_who_left_ends_after_a_while_without_any_event(
    livekit: LiveKit, left_soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = ScriptedRouter(answer_chunks=[SENTENCE])
    router.may_finish.clear()
    async with voice_scene(livekit, router, voice=False) as scene, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await wait_for_chat(scene, ann, bob)
            await bob.send_chat("Rayroom, tell me everything.")
            await eventually(lambda: router.chat_requests)
            # No room event and no heartbeat triggers it: only the periodic check does.
            monkeypatch.setattr(scene.speech, "follow", lambda: None)
        await asyncio.sleep(LEFT_S / 2)
        assert router.cancelled_chats == 0
        await eventually(lambda: router.cancelled_chats == 1, 2 * LEFT_S)
        await eventually(lambda: ann.answers())
        assert ann.answers()[0].attributes["rayroom.interrupted"] == "true"
        assert scene.speech.report()["voice_interruptions"] == 1 and len(router.chat_requests) == 1


async def test_a_waiting_question_is_dropped_when_its_asker_leaves(livekit: LiveKit, left_soon: None) -> None:
    router = ScriptedRouter(answer_chunks=[SENTENCE])
    router.may_finish.clear()
    async with voice_scene(livekit, router, voice=False) as scene, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await wait_for_chat(scene, ann, bob)
            await ann.send_chat("Rayroom, tell me everything.")
            await eventually(lambda: router.chat_requests)
            await bob.send_chat("Rayroom, what is my salary?")
            await eventually(lambda: len(scene.speech.voice.responder.askers) == 2)  # type: ignore[union-attr]
        await eventually(lambda: "bob" not in scene.session._room.remote_participants)
        router.may_finish.set()
        await eventually(lambda: ann.answers())
        router.answer_chunks = ["Yes."]
        await ann.send_chat("And is it so?")
        await eventually(lambda: len(ann.answers()) == 2)
        await eventually(lambda: not scene.speech.voice.responder.askers)  # type: ignore[union-attr]
        questions = [request["messages"][-1]["content"] for request in router.chat_requests]
        assert questions == ["Rayroom, tell me everything.", "And is it so?"]


async def test_a_remark_to_another_participant_is_not_joined_to_a_pending_question(
    livekit: LiveKit,
) -> None:
    router = ScriptedRouter(answer_chunks=["Yes."])
    router.may_begin.clear()
    async with (
        voice_scene(livekit, router, voice=False) as scene,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await wait_for_chat(scene, ann, bob)
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: router.chat_requests)
        await ann.send_chat("Bob, my password is hunter two.")
        await ann.send_chat("mm-hmm")
        await eventually(lambda: scene.speech.report()["voice_not_for_us"] == 2)
        router.may_begin.set()
        await eventually(lambda: ann.answers())
        assert [request["messages"][-1]["content"] for request in router.chat_requests] == ["Rayroom, what is it?"]
        assert router.cancelled_chats == 0


async def test_a_continuation_before_the_first_word_of_the_answer_is_joined_to_the_question(livekit: LiveKit) -> None:
    router = ScriptedRouter(answer_chunks=["Yes."])
    router.may_begin.clear()
    async with (
        voice_scene(livekit, router, voice=False) as scene,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await wait_for_chat(scene, ann, bob)
        await ann.send_chat("Rayroom, what is it?")
        await eventually(lambda: router.chat_requests)
        await ann.send_chat("The one below, I mean.")
        await eventually(lambda: len(router.chat_requests) == 2)
        router.may_begin.set()
        await eventually(lambda: ann.answers())
        assert router.chat_requests[-1]["messages"][-1]["content"] == "Rayroom, what is it? The one below, I mean."
        assert len(router.chat_requests) == 2 and router.cancelled_chats == 1


async def test_a_continuation_of_a_waiting_question_is_joined_to_it(livekit: LiveKit) -> None:
    async with answering_ann(livekit) as (scene, bob):
        for text in ("Rayroom?", "What is the total?", "Rayroom, for March!", "Okay."):
            await bob.send_chat(text)
        await eventually(lambda: scene.speech.report()["voice_not_for_us"] == 1)
        scene.router.may_finish.set()
        await eventually(lambda: len(scene.router.chat_requests) == 2)
        assert (
            scene.router.chat_requests[-1]["messages"][-1]["content"]
            == "Rayroom? What is the total? Rayroom, for March!"
        )
        assert scene.router.cancelled_chats == 0


async def test_a_participant_who_withdraws_a_waiting_question_stops_no_other_answer(livekit: LiveKit) -> None:
    async with answering_ann(livekit) as (scene, bob):
        responder = scene.speech.voice.responder  # type: ignore[union-attr]
        await bob.send_chat("Rayroom, what is it?")
        await eventually(lambda: responder.askers == {"ann", "bob"})
        await bob.send_chat("Never mind.")
        await eventually(lambda: responder.askers == {"ann"})
        scene.router.may_finish.set()
        await eventually(lambda: scene.speech.report().get("voice_answers") == 1)
        assert len(scene.router.chat_requests) == 1 and scene.router.cancelled_chats == 0


async def test_whatever_somebody_alone_says_without_the_name_may_be_met_with_silence(livekit: LiveKit) -> None:
    router = ScriptedRouter(answer_chunks=["<sil", "ent>"])
    async with voice_scene(livekit, router, voice=False) as scene, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await wait_for_chat(scene, ann, bob)
        await eventually(lambda: "bob" not in scene.session._room.remote_participants)
        await ann.send_chat("Bob, are you still there?")
        await eventually(lambda: scene.speech.report()["voice_silent"] == 1)
        await ann.send_chat("Hello? Oh hi, Mum.")
        await eventually(lambda: scene.speech.report()["voice_silent"] == 2)
        router.answer_chunks = ["Yes."]
        await ann.send_chat("What is it?")
        await eventually(lambda: ann.answers())
        assert [answer.text for answer in ann.answers()] == ["Yes."]
        questions = [request["messages"][-1]["content"] for request in scene.router.chat_requests]
        assert questions == ["Bob, are you still there?", "Hello? Oh hi, Mum.", "What is it?"]
