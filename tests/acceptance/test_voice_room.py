"""An agent that hears and speaks in a real room, with emulated vendors and a router that answers as its script says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from livekit import rtc

from cluster.demo.processes import Processes
from cluster.demo.vowels import silence
from deployments.providers.emulator import Emulator, Fault
from room_agent.attendance import Attendance
from room_agent.mouth import REST_S
from room_agent.router_client import RouterClient
from room_agent.settings import REGISTERED, SpeechSettings
from room_agent.speech import Speech
from room_agent.troubles import SAID, Trouble
from tests.acceptance.livekit_server import LiveKit, running_livekit
from tests.acceptance.meeting import dispatch
from tests.acceptance.stack import eventually
from tests.acceptance.talking import Talker, joined
from tests.integration.scripted_router import ScriptedRouter
from tests.integration.voiced import settings_for

ROOM = "tenant_acme_spoken"
BROKEN = Fault(cut_after_chunks=0, close_code=1011, code="internal_error")


@pytest.fixture(scope="module")
def livekit() -> Iterator[LiveKit]:
    with running_livekit() as livekit:
        yield livekit


@dataclass
class Scene:
    """A room with an agent in it, and all that it talks to."""

    livekit: LiveKit
    emulator: Emulator
    router: ScriptedRouter
    speech: Speech
    attendance: Attendance

    def billed(self) -> tuple[int, int]:
        """Return the milliseconds and characters that the router was told of."""
        usage = {event["id"]: event for event in self.router.usage}.values()
        return sum(event["audio_ms"] for event in usage), sum(event["characters"] for event in usage)

    def charged(self) -> tuple[int, int]:
        """Return the milliseconds and characters that the vendors charge for."""
        journal = self.emulator.journal
        return sum(seen.audio_ms for seen in journal), sum(seen.characters for seen in journal)


@asynccontextmanager
async def scene(
    livekit: LiveKit, router: ScriptedRouter | None = None, voice_fault: Fault | None = None, **changed: object
) -> AsyncIterator[Scene]:
    """Yield a room that an agent attends; when it ends, the agent has left in good order.

    The agent opens its voice's socket before it has anything to say, so that socket's fault is planned before it comes.
    """
    async with Emulator().running() as emulator, (router or ScriptedRouter()).running() as router:
        # On a busy machine a sound may come with a gap in it: what follows is more of the same, and no new words.
        emulator.script.ends = True
        if voice_fault is not None:
            emulator.plan(voice_fault, vendor="elevenlabs")
        settings: SpeechSettings = settings_for(emulator, **changed)
        room, client = rtc.Room(), RouterClient(router.url, "agent-key", ROOM, "job-1", "{}")
        await room.connect(livekit.url, livekit.token(ROOM, "agent"))
        speech = Speech(room, client, router.url, settings)
        attendance = Attendance(room, client, max_tracks=4, speech=speech)
        attendance.start()
        try:
            yield Scene(livekit, emulator, router, speech, attendance)
        finally:
            await attendance.aclose()
            await client.aclose()
            await room.disconnect()


async def test_a_spoken_question_is_answered_aloud_and_in_writing(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        room.emulator.script.add("What is on the screen?")
        await eventually(lambda: room.speech.voice is not None)
        await ann.speak(1_200)
        await eventually(lambda: ann.heard_ms > 500 and ann.answers())
        said, answer = ann.lines
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
        (line,) = (line for line in ann.lines if line.identity == "ann")
        assert ann.interims and {(one.identity, one.segment) for one in ann.interims} == {("ann", line.segment)}
        assert line.text == said and all(len(one.text) <= len(said) for one in ann.interims)


async def test_an_answer_that_is_rejected_has_the_router_told_so(livekit: LiveKit) -> None:
    async with scene(livekit, voice=False) as room, joined(livekit, ROOM, "ann") as ann:
        # What is written to an agent that has only just come may be lost on its way.
        await eventually(lambda: room.speech.voice is not None and ann.agents() and len(room.router.beats) > 5)
        for number, text in enumerate(("What is it?", "No, that's wrong.", "What is it called?"), 1):
            await ann.write(text)
            await eventually(lambda number=number: len(ann.answers()) == number)  # type: ignore[misc]
        assert [chat.get("metadata") for chat in room.router.chats] == [None, {"last_answer": "failed"}, None]


async def asked(room: Scene, talker: Talker, text: str, duration_ms: int = 1_200) -> None:
    """Have somebody ask `text` aloud, once the agent is there to hear it."""
    await eventually(lambda: room.speech.voice is not None and room.speech.report()["hearing_microphones"] >= 1)
    room.emulator.script.add(text)
    await talker.speak(duration_ms)


async def test_speaking_stops_the_answer_and_its_request_and_what_was_sent_is_billed(livekit: LiveKit) -> None:
    router = ScriptedRouter(words=["Well, let me see. "] * 200, word_delay_s=0.05)
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "Tell me everything.")
        await eventually(lambda: ann.heard_ms > 500)
        room.router.words = ["Sorry."]
        room.emulator.script.add("No, stop.")
        await ann.speak(1_000)
        await eventually(lambda: room.router.chats_cut == 1)
        await asyncio.sleep(0.5)
        heard_ms = ann.heard_ms
        await asyncio.sleep(1.0)
        assert ann.heard_ms == heard_ms
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
        await eventually(lambda: bob.answers() and cat.heard_ms > 500)
        assert [line.attributes["rayroom.to"] for line in bob.answers()] == ["ann"]
        told = {line.identity: line.text for line in cat.lines if line.identity != "agent"}
        assert told == {
            "ann": "Rayroom, what is on the screen?",
            "bob": "I think that is wrong.",
            "cat": "Me too, Bob.",
        }
        # What the others said is at hand, as quoted data, though it was not said to the agent.
        (context,) = [m["content"] for m in room.router.chats[0]["messages"] if "that is wrong" in str(m["content"])]
        assert context.startswith("<<<data ")
    assert room.billed() == room.charged()


async def test_who_mutes_leaves_or_comes_back_is_heard_while_there(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        async with joined(livekit, ROOM, "bob") as bob:
            await eventually(lambda: room.speech.report().get("hearing_microphones") == 2)
            await bob.hang_up()
            await eventually(lambda: room.speech.report()["hearing_microphones"] == 1)
            await bob.unmute()
            await eventually(lambda: room.speech.report()["hearing_microphones"] == 2)
            await asked(room, bob, "Rayroom, what is it?")
            await eventually(lambda: bob.answers())
        await eventually(lambda: room.speech.report()["hearing_microphones"] == 1)
        # Alone again, one need not call the agent.
        await asked(room, ann, "And what is this?")
        await eventually(lambda: len(ann.answers()) == 2)


@pytest.mark.parametrize("who", ["ann", "agent"])
async def test_a_lost_connection_that_comes_back_is_heard_and_answered_on(livekit: LiveKit, who: str) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers() and ann.heard_ms > 500)
        lost = ann.room if who == "ann" else room.attendance._room
        await lost.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await eventually(lambda: lost.isconnected() and room.speech.report()["hearing_microphones"] == 1)
        await asyncio.sleep(1.0)
        heard_ms = ann.heard_ms
        await asked(room, ann, "And now?")
        await eventually(lambda: len(ann.answers()) == 2 and ann.heard_ms > heard_ms + 500)


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
        await bob.write("x" * 1_000_000)
        for number in range(30):
            await bob.write(f"Rayroom, what is {number}?")
        await ann.write("Rayroom, is it so?")
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
        # With a pause as long as this, what is looked up is looked up within it.
        scene(livekit, pause_s=4.0) as room,
        joined(livekit, ROOM, "ann") as ann,
        joined(livekit, ROOM, "bob") as bob,
    ):
        await eventually(lambda: room.speech.report().get("hearing_microphones") == 2)
        await asked(room, bob, "I think that is wrong.")
        await bob.play(silence(4_000))
        await eventually(lambda: ann.lines)
        room.emulator.script.add("Rayroom, what is it?")
        await ann.speak(1_200)
        await eventually(lambda: room.router.searches)
        assert room.router.chats == [] and [line.identity for line in ann.lines] == ["bob"]
        await ann.play(silence(4_000))
        await eventually(lambda: ann.answers())
        # Sound that comes late may be heard as more than one utterance; no text is looked up twice.
        queries = [search["query"] for search in room.router.searches]
        assert queries[0] == "Rayroom, what is it?" and len(queries) == len(set(queries))
        assert not any("wrong" in query for query in queries)


async def test_a_router_that_cannot_answer_is_apologised_for_once_and_asked_again(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.chat_statuses.extend([503] * 4)
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.heard_ms > 500 and ann.told())
        await eventually(lambda: len(room.router.chats) == 2)
        await asked(room, ann, "And now?")
        await eventually(lambda: len(room.router.chats) == 4)
        await asked(room, ann, "What about now?")
        await eventually(lambda: ann.answers())
        assert ann.told() == [SAID[Trouble.THINKING]] and ann.answers()[0].text == "It says forty two."
    assert room.billed() == room.charged()


async def test_a_token_that_is_no_longer_good_is_renewed_within_the_turn(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.chat_statuses.extend([401])
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers())
        assert room.router.chat_tokens == ["token-1", "token-2"] and ann.told() == []


async def test_who_cannot_be_heard_is_told_so_once_and_may_write(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann") as ann:
        # Until it is taken back: how often an utterance is tried is not what this asks for.
        room.emulator.plan(Fault(status=503), vendor="deepgram", times=1_000)
        await asked(room, ann, "Never heard.")
        await eventually(lambda: ann.told())
        await ann.write("Can you read me?")
        await eventually(lambda: ann.answers())
        lost = room.speech.report()["hearing_utterances_lost"]
        await asked(room, ann, "Never heard either.")
        await eventually(lambda: room.speech.report()["hearing_utterances_lost"] > lost)
        room.emulator.faults.clear()
        await asked(room, ann, "And now?")
        await eventually(lambda: len(ann.answers()) == 2)
        assert ann.told() == [SAID[Trouble.HEARING]]


async def test_without_a_voice_the_whole_answer_is_written_and_the_voice_comes_back(livekit: LiveKit) -> None:
    async with scene(livekit, voice_fault=BROKEN) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers() and ann.told())
        assert ann.answers()[0].text == "It says forty two." and ann.heard_ms == 0
        assert ann.told() == [SAID[Trouble.SPEAKING]]
        await asyncio.sleep(REST_S)
        await asked(room, ann, "And now?")
        await eventually(lambda: ann.heard_ms > 500)
        assert room.speech.voice is not None and Trouble.SPEAKING not in room.speech.voice.complaints


async def test_another_voice_takes_over_where_one_fails(livekit: LiveKit) -> None:
    models = ("eleven_flash_v2_5", "eleven_turbo_v2_5")
    async with (
        scene(livekit, voice_fault=BROKEN, tts_models=models) as room,
        joined(livekit, ROOM, "ann") as ann,
    ):
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.heard_ms > 500)
        assert ann.told() == []
    spoken = {seen.model: seen.characters for seen in room.emulator.journal if seen.characters}
    assert spoken["eleven_turbo_v2_5"] == len("It says forty two.")
    assert room.billed() == room.charged()


async def test_a_spent_budget_is_told_once_and_silence_kept_until_there_is_more(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.chat_statuses.extend([402])
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.told() == [SAID[Trouble.BUDGET]])
        charged = room.charged()
        await asked(room, ann, "Not sent to anybody.")
        await ann.write("Hello?")
        await asyncio.sleep(1.0)
        assert room.charged() == charged and len(room.router.chats) == 1 and ann.heard_ms == 0
        room.router.budget = {"spent_nanousd": 1, "limit_nanousd": 2}
        await asyncio.sleep(0.5)
        await ann.speak(1_200)
        await eventually(lambda: ann.heard_ms > 500)
        assert ann.told() == [SAID[Trouble.BUDGET]]


async def test_speech_while_the_router_was_away_is_billed_when_it_is_back(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    async with scene(livekit, router) as room, joined(livekit, ROOM, "ann") as ann:
        await asked(room, ann, "What is it?")
        await eventually(lambda: ann.answers())
        router.beat_statuses.extend([503] * 30)
        await asked(room, ann, "And this?")
        await eventually(lambda: len(ann.answers()) == 2)
    assert room.billed() == room.charged() and room.speech.usage.unbilled == {"stt": 0, "tts": 0}


async def test_nobody_in_the_room_can_drive_the_session_or_read_it(livekit: LiveKit) -> None:
    async with scene(livekit) as room, joined(livekit, ROOM, "ann"):
        await eventually(lambda: room.speech.voice is not None)
        assert room.speech.voice is not None and room.speech.voice.mouth is not None
        assert room.speech.voice.mouth.session._session_host is None
        heard = room.attendance._room
        await eventually(heard._text_stream_handlers.keys)
        assert heard._text_stream_handlers.keys() | heard._byte_stream_handlers.keys() == {"lk.chat"}


def worker_environment(livekit: LiveKit, router: ScriptedRouter, emulator: Emulator, path: Path) -> dict[str, str]:
    return {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.key,
        "LIVEKIT_API_SECRET": livekit.secret,
        "RAYROOM_URL": router.url,
        "RAYROOM_AGENT_KEYS": "an-agent-key-of-tests",
        "RAYROOM_DRAIN_S": "0",
        "RAYROOM_VOICE": "on",
        "RAYROOM_USAGE_DIR": str(path / "usage"),
        "DEEPGRAM_API_KEY": "k",
        "DEEPGRAM_BASE_URL": emulator.base_urls()["deepgram"],
        "ELEVENLABS_API_KEY": "k",
        "ELEVENLABS_BASE_URL": emulator.base_urls()["elevenlabs"],
    }


async def test_a_job_of_the_worker_hears_answers_and_tells_its_last_figures(livekit: LiveKit, tmp_path: Path) -> None:
    room = "tenant_acme_job"
    async with Emulator().running() as emulator, ScriptedRouter().running() as router:
        environment = worker_environment(livekit, router, emulator, tmp_path)
        async with Processes(tmp_path) as processes, joined(livekit, room, "ann") as ann:
            await processes.start("agent", [sys.executable, "-m", "room_agent", "start"], environment)
            await eventually(lambda: processes.said("agent", REGISTERED), 60.0)
            await dispatch(livekit, room, {"tenant_id": "acme"})
            await eventually(lambda: router.beats and router.beats[-1].get("hearing_microphones") == 1, 60.0)
            emulator.script.add("What is the secret word?")
            await ann.speak(1_500)
            await eventually(lambda: ann.heard_ms > 500 and ann.answers())
            await processes.stop("agent", 20.0)
        usage = {event["id"]: event for event in router.usage}.values()
        assert sum(event["audio_ms"] for event in usage) == sum(seen.audio_ms for seen in emulator.journal) > 0
        assert sum(event["characters"] for event in usage) == sum(seen.characters for seen in emulator.journal) > 0
        assert router.closed == 1 and list((tmp_path / "usage").iterdir()) == []
        logged = (tmp_path / "agent.log").read_text("utf-8", "replace")
        assert "secret" not in logged and "forty two" not in logged


@pytest.mark.kills
async def test_a_job_that_is_killed_is_billed_by_its_worker_to_the_unit(livekit: LiveKit, tmp_path: Path) -> None:
    room = "tenant_acme_killed"
    async with Emulator().running() as emulator, ScriptedRouter().running() as router:
        environment = worker_environment(livekit, router, emulator, tmp_path)
        async with Processes(tmp_path) as processes, joined(livekit, room, "ann") as ann:
            agent = await processes.start("agent", [sys.executable, "-m", "room_agent", "start"], environment)
            await eventually(lambda: processes.said("agent", REGISTERED), 120.0)
            await dispatch(livekit, room, {"tenant_id": "acme"})
            await eventually(lambda: router.beats and router.beats[-1].get("hearing_microphones") == 1, 120.0)
            speaking = asyncio.create_task(ann.speak(6_000))
            await eventually(lambda: sum(seen.audio_ms for seen in emulator.journal) > 2_000, 60.0)
            the_job(agent.pid, urlsplit(emulator.url).port).kill()
            await eventually(lambda: processes.said("agent", "billed a dead job"), 120.0)
            await speaking
        usage = {event["id"]: event for event in router.usage}.values()
        sent_ms = sum(seen.audio_ms for seen in emulator.journal)
        certain_ms = sum(event["audio_ms"] for event in usage if not event["estimated"])
        assert certain_ms <= sent_ms <= sum(event["audio_ms"] for event in usage) <= certain_ms + 50


def the_job(worker: int, port: int | None) -> psutil.Process:
    """Return the worker's process that has a line to the vendors: it is the one that attends the room."""
    (job,) = (
        one
        for one in psutil.Process(worker).children(recursive=True)
        if any(line.raddr and line.raddr.port == port for line in one.net_connections("tcp"))
    )
    return job
