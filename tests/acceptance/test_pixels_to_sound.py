"""One fact from pixels to sound: a random number is drawn, read, asked for aloud, and recognised in the spoken answer.

Only the drawing code has the number. The vendors are the emulator with its senses; between it and
the people are livekit-server, the worker's agent, Ray Serve and the tRPC backend, all running.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest

from cluster.lab.emulator.engines import load_engines
from cluster.lab.emulator.engines.tts import SpeechEngine
from tests.support.knowledge_base import KnowledgeBase, random_number
from tests.support.meeting import open_meeting
from tests.support.meeting_participant import MeetingParticipant, joined
from tests.support.stack import Stack, System, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEEN = "What number is on the slide?"
SEEN_BEFORE = "What number was on the slide before this one?"
KNOWN = "What is the budget of project falcon?"
CALLED = f"Rayroom, {KNOWN.lower()}"
UNKNOWN = "What is the price of the new house?"
LONG = "How much was the summer party?"
TALK = "I think that is wrong."
STOP = "Stop please, that is enough."
PHRASES = (SEEN, SEEN_BEFORE, KNOWN, CALLED, UNKNOWN, LONG, TALK, STOP)
LONG_S = 60.0
TRIES = 3
MANY = 1_000
BACKEND = "node"


@dataclass(frozen=True, slots=True)
class Scene:
    """The running system, and a fact that only its backend has."""

    stack: Stack
    knowledge_base: KnowledgeBase


@pytest.fixture(scope="module")
def scene(system: System) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.emulator.state, "engines", load_engines(PHRASES))
        yield Scene(system.stack, system.knowledge_base)


def seen(participant: MeetingParticipant, drawn: int) -> bool:
    """Return whether a description of the slide reached the room."""
    return any(str(drawn) in text.text for text in participant.texts_on("rayroom.descriptions"))


async def answered(participant: MeetingParticipant, times: int = 1) -> str:
    """Wait for the agent's written answer and the end of its speech; return the digits recognised in it."""
    await eventually(lambda: len(answers(participant)) >= times and participant.agent_audio().loud_ms > 0, LONG_S)
    await eventually(lambda: participant.agent_audio().quiet_ms() > 1_000, LONG_S)
    return await participant.recognized_digits()


async def understood(
    wanted: int, question: str, asker: MeetingParticipant, listener: MeetingParticipant | None = None
) -> bool:
    """Ask until the number is understood from the answer: on a busy machine a word, asked or answered, may be lost."""
    listener = listener or asker
    for _ in range(TRIES):
        before = len(answers(listener))
        await asker.say(question)
        with contextlib.suppress(TimeoutError):
            if str(wanted) in await answered(listener, before + 1):
                return True
    return False


async def answered_so(asker: MeetingParticipant, question: str, answer: str) -> None:
    """Ask until the answer fulfils a condition; raises TimeoutError if none does."""
    for _ in range(TRIES - 1):
        await asker.say(question)
        with contextlib.suppress(TimeoutError):
            return await eventually(lambda: answer in answers(asker), LONG_S / TRIES)
    await asker.say(question)
    await eventually(lambda: answer in answers(asker), LONG_S)


def words_of(participant: MeetingParticipant, identity: str) -> list[str]:
    """Return the transcripts of a participant's speech."""
    return [text.text for text in participant.texts_on("lk.transcription") if text.identity == identity]


def answers(participant: MeetingParticipant) -> list[str]:
    return [answer.text for answer in participant.answers()]


async def test_a_number_on_a_slide_is_asked_for_aloud_and_heard(scene: Scene) -> None:
    drawn, room = random_number(), "tenant_acme_pixels"
    async with open_meeting(scene.stack, room) as meeting, joined(scene.stack.livekit, room, "ann") as ann:
        await ann.share_screen(drawn)
        await meeting.wait_for_microphones()
        await eventually(lambda: seen(ann, drawn), LONG_S)
        assert await understood(drawn, SEEN, ann)
        assert set(answers(ann)) == {f"The number on the slide is {drawn}."}


async def test_the_number_of_the_slide_before_is_remembered_and_heard(scene: Scene) -> None:
    first, second, room = random_number(), random_number(), "tenant_acme_before"
    async with open_meeting(scene.stack, room) as meeting, joined(scene.stack.livekit, room, "ann") as ann:
        await meeting.wait_for_microphones()
        await ann.share_screen(first)
        await eventually(lambda: seen(ann, first), LONG_S)
        ann.slide = second
        await eventually(lambda: seen(ann, second), LONG_S)
        assert await understood(first, SEEN_BEFORE, ann)
        assert set(answers(ann)) == {f"The slide before this one showed {first}."}
        assert str(second) not in await ann.recognized_digits()


@pytest.mark.parametrize("tenant", ["acme", "globex"])
async def test_a_number_only_the_knowledge_base_holds_is_heard_and_never_the_other_tenants(
    scene: Scene, tenant: str
) -> None:
    room, budget = f"tenant_{tenant}_budget", scene.knowledge_base.budgets[tenant]
    async with open_meeting(scene.stack, room) as meeting, joined(scene.stack.livekit, room, "ann") as ann:
        await meeting.wait_for_microphones()
        assert await understood(budget, KNOWN, ann)
        assert set(answers(ann)) == {f"The budget of project Falcon is {budget} dollars."}
        assert all("plans/budget.md" in answer.sources for answer in ann.answers())
        digits = await ann.recognized_digits()
        for other in scene.knowledge_base.numbers_of_other_tenants(tenant):
            assert other not in digits and all(other not in text.text for text in ann.texts)


async def test_what_only_another_tenant_knows_is_named_and_not_made_up(scene: Scene) -> None:
    room = "tenant_acme_unknown"
    async with open_meeting(scene.stack, room) as meeting, joined(scene.stack.livekit, room, "ann") as ann:
        await meeting.wait_for_microphones()
        await answered_so(ann, UNKNOWN, "I find nothing about price new house.")
        assert str(scene.knowledge_base.house_price) not in await answered(ann)


async def test_of_three_who_speak_the_one_who_calls_the_agent_is_answered(scene: Scene) -> None:
    room, livekit = "tenant_acme_three", scene.stack.livekit
    async with (
        open_meeting(scene.stack, room) as meeting,
        joined(livekit, room, "ann", SpeechEngine("en-us+f2")) as ann,
        joined(livekit, room, "bob", SpeechEngine("en-us+m3")) as bob,
        joined(livekit, room, "cat") as cat,
    ):
        await meeting.wait_for_microphones(3)
        await bob.say(TALK)
        await eventually(lambda: words_of(cat, "bob"), LONG_S)
        assert await understood(scene.knowledge_base.budgets["acme"], CALLED, ann, cat)
        heard = words_of(cat, "ann")
        assert words_of(cat, "bob") == [TALK] and len(answers(cat)) <= heard.count(CALLED) > 0


async def test_who_interrupts_the_answer_does_not_hear_its_end(scene: Scene) -> None:
    room = "tenant_acme_cut"
    async with open_meeting(scene.stack, room) as meeting, joined(scene.stack.livekit, room, "ann") as ann:
        await meeting.wait_for_microphones()
        await ann.say(LONG)
        await eventually(lambda: ann.agent_audio().loud_ms > 300, LONG_S)
        await ann.say(STOP)
        assert str(scene.knowledge_base.party_cost) not in await answered(ann)
        (answer,) = ann.answers()
        assert answer.attributes["rayroom.interrupted"] == "true"
        await meeting.wait_for_counter("voice_interruptions", 1)
        # A request to stop is no question: the agent says nothing more.
        assert len(ann.answers()) == 1


@pytest.mark.kills
async def test_without_its_backend_a_question_is_answered_from_what_the_room_shows(scene: Scene) -> None:
    drawn, room = random_number(), "tenant_acme_alone"
    async with open_meeting(scene.stack, room) as meeting, joined(scene.stack.livekit, room, "ann") as ann:
        await ann.share_screen(drawn)
        await meeting.wait_for_microphones()
        await eventually(lambda: seen(ann, drawn), LONG_S)
        backend = the_backend(scene.stack)
        backend.send_signal(signal.SIGSTOP)
        try:
            await answered_so(ann, KNOWN, "I find nothing about budget project falcon.")
            assert await understood(drawn, SEEN, ann)
        finally:
            backend.send_signal(signal.SIGCONT)
        assert await understood(scene.knowledge_base.budgets["acme"], KNOWN, ann)


async def test_a_backend_that_refuses_to_be_asked_takes_no_answer_from_the_room(scene: Scene) -> None:
    drawn, room = random_number(), "tenant_acme_refused"
    async with open_meeting(scene.stack, room) as meeting, joined(scene.stack.livekit, room, "ann") as ann:
        await ann.share_screen(drawn)
        await meeting.wait_for_microphones()
        await eventually(lambda: seen(ann, drawn), LONG_S)
        await scene.stack.backend.set_faults(failSearch=MANY)
        try:
            await answered_so(ann, KNOWN, "I find nothing about budget project falcon.")
        finally:
            await scene.stack.backend.set_faults(failSearch=0)
        assert await understood(drawn, SEEN, ann)


def the_backend(stack: Stack) -> psutil.Process:
    (backend,) = (one for one in psutil.Process(stack.pid).children() if one.name() == BACKEND)
    return backend
