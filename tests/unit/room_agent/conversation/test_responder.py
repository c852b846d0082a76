"""An answer that fails is announced to its asker; open questions are handed over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.llm import NoAnswer, RouterLlm
from room_agent.conversation.notices import NOTICE_TEXTS, Notices, Trouble
from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import Responder
from room_agent.conversation.tool_calls import RequestedCall
from room_agent.conversation.tool_client import ListedRoomTool
from room_agent.conversation.tool_turns import ToolTurns
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.intent.silence import INSTRUCTION
from tests.support.eventually import eventually
from tests.unit.room_agent.conversation.test_pending_answer import FakeTranscription

UNREACHABLE_URL = "http://127.0.0.1:9"
TOOL = ListedRoomTool(name="shop_cancel", title="Cancel", description="", parameters={}, digest="0" * 32)


class RecordingTranscription(FakeTranscription):
    """A transcription that records the agent's notices."""

    def __init__(self) -> None:
        super().__init__()
        self.notices: asyncio.Queue[str] = asyncio.Queue()

    def notice(self, text: str) -> None:
        self.notices.put_nowait(text)


class SlowLlm:
    """A model whose answer has begun and ends when a test lets it."""

    def __init__(self) -> None:
        self.may_begin, self.may_end = asyncio.Event(), asyncio.Event()

    async def answer(self, *_: Any, **__: Any) -> AsyncIterator[str]:
        await self.may_begin.wait()
        yield "Forty "
        await self.may_end.wait()
        yield "two."


@pytest.mark.parametrize("begins", [True, False])
async def test_open_questions_are_handed_over_and_an_answer_that_has_begun_may_end(begins: bool) -> None:
    llm, transcription, transport = SlowLlm(), RecordingTranscription(), HttpTransport(UNREACHABLE_URL)
    captions = cast(Transcription, cast(Any, transcription))
    router = RouterClient(transport, "k", "tenant_acme_standup", "job-1", "{}")
    context = ContextBuilder(
        KnowledgeRetrieval(router, time.monotonic), AgentManner(name="Rayroom", spoken=False), time.time
    )
    notices = Notices(captions, None, time.monotonic)
    present = {"ann", "bob"}
    responder = Responder(context, cast(Any, llm), captions, notices, None, time.monotonic, present)
    running = asyncio.create_task(responder.run())
    for identity in sorted(present):
        responder.ask(Question(identity=identity, name=identity, text="What is on the screen?", asked_at_s=0.0))
    if begins:
        llm.may_begin.set()
        await eventually(lambda: responder.has_begun, 5.0)
        asyncio.get_running_loop().call_later(0.05, llm.may_end.set)
    else:
        await eventually(lambda: responder.question is not None, 5.0)
    questions = [question.identity for question in await responder.open_questions()]
    assert questions == (["bob"] if begins else ["ann", "bob"]) and not len(responder.queue)
    running.cancel()
    await responder.aclose()
    await context.knowledge.aclose()
    await transport.aclose()


async def test_an_unexpected_error_is_announced() -> None:
    transcription = RecordingTranscription()
    captions = cast(Transcription, cast(Any, transcription))
    router = RouterClient(HttpTransport(UNREACHABLE_URL), "k", "tenant_acme_standup", "job-1", "{}")
    context = ContextBuilder(
        KnowledgeRetrieval(router, time.monotonic), AgentManner(name="Rayroom", spoken=False), time.time
    )
    notices = Notices(captions, None, time.monotonic)
    responder = Responder(context, RouterLlm(router, UNREACHABLE_URL), captions, notices, None, time.monotonic, {"ann"})
    running = asyncio.create_task(responder.run())
    # An invisible question makes the prompt raise.
    responder.ask(Question(identity="ann", name="Ann", text="\u200b", asked_at_s=0.0))
    assert await asyncio.wait_for(transcription.notices.get(), 5.0) == NOTICE_TEXTS[Trouble.THINKING]
    running.cancel()
    await responder.aclose()


class ProposingLlm:
    """A model that requests a call which changes something, and then ends when a test lets it."""

    async def answer(self, *_: Any, **__: Any) -> AsyncIterator[str | RequestedCall]:
        yield RequestedCall(call_id="c1", name=TOOL.name, arguments="{}")


class WaitingSpeech:
    """A speech output whose speech goes on until a test ends it."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    def say(self, *_: Any, **__: Any) -> object:
        return object()

    async def wait_until_played(self, _: object) -> None:
        await self.may_end.wait()

    def interrupt(self) -> None: ...


@pytest.mark.parametrize("end", ["played", "interrupted", "asker left"])
async def test_a_proposal_counts_only_once_it_was_given_whole_to_a_person_who_is_still_there(end: str) -> None:
    transcription, transport, speech = RecordingTranscription(), HttpTransport(UNREACHABLE_URL), WaitingSpeech()
    captions = cast(Transcription, cast(Any, transcription))
    router = RouterClient(transport, "k", "tenant_acme_standup", "job-1", "{}")
    context = ContextBuilder(
        KnowledgeRetrieval(router, time.monotonic), AgentManner(name="Rayroom", spoken=True), time.time
    )
    notices = Notices(captions, None, time.monotonic)
    llm: Any = ProposingLlm()
    tools = ToolTurns(llm, None, captions, time.monotonic)
    tools.tools = (TOOL,)
    responder = Responder(context, llm, captions, notices, cast(Any, speech), time.monotonic, {"ann"}, tools=tools)
    running = asyncio.create_task(responder.run())
    responder.ask(Question(identity="ann", name="Ann", text="Cancel it, please.", asked_at_s=0.0))
    await eventually(lambda: responder.has_begun, 10.0)
    # The question is still being spoken.
    assert tools.confirmation.take("ann", "Yes.", time.monotonic()) is None
    if end == "interrupted":
        responder.on_speech("ann", 1.0)
    else:
        speech.may_end.set()
    await eventually(lambda: responder._last is not None and responder.question is None, 10.0)
    # The manager reports who of these left: another may join under the same identity.
    assert responder.askers == (set() if end == "interrupted" else {"ann"})
    if end == "asker left":
        responder.on_left("ann")
    agreed = tools.confirmation.take("ann", "Yes.", time.monotonic())
    assert (agreed is not None) == (end == "played")
    assert responder.askers == set()
    running.cancel()
    await responder.aclose()
    await context.knowledge.aclose()
    await transport.aclose()


class MaybeSilentLlm:
    """A model that answers each turn with the next of the scripted answers, and records the turns."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.turns: list[tuple[str, bool]] = []
        self._answers = iter(answers)

    async def answer(
        self,
        messages: Sequence[dict[str, Any]],
        failed_before: bool,
        participant: str,
        simple: bool = False,
    ) -> AsyncIterator[str]:
        system = "\n".join(message["content"] for message in messages if message["role"] == "system")
        self.turns.append((system, simple))
        for piece in next(self._answers):
            if piece == "fails":
                raise NoAnswer(Trouble.THINKING, 503)
            yield piece


class FakeSpeech:
    """A speech output that records which speeches were opened."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def say(self, _: AsyncIterator[str], asker: str, language: str) -> None:
        self.opened.append(f"{asker} {language}".strip())


async def test_an_unsure_turn_may_be_silent_and_leaves_no_trace_of_an_answer() -> None:
    transcription, speech = RecordingTranscription(), FakeSpeech()
    llm = MaybeSilentLlm(["<sil", "ENT>."], ["fails"], ["Forty ", "two."], ["Fine."])
    captions = cast(Transcription, cast(Any, transcription))
    transport = HttpTransport(UNREACHABLE_URL)
    router = RouterClient(transport, "k", "tenant_acme_standup", "job-1", "{}")
    context = ContextBuilder(
        KnowledgeRetrieval(router, time.monotonic), AgentManner(name="Rayroom", spoken=False), time.time
    )
    notices = Notices(captions, None, time.monotonic)
    responder = Responder(context, cast(Any, llm), captions, notices, cast(Any, speech), time.monotonic, {"ann", "bob"})
    running = asyncio.create_task(responder.run())
    unsure = Question(
        identity="ann",
        name="Ann",
        text="Ask Rayroom.",
        asked_at_s=0.0,
        unsure=True,
        may_be_silent=True,
        simple=True,
    )
    for turns in (1, 2):
        responder.ask(unsure)
        assert responder.waits_since_s("ann") is None
        await eventually(lambda turns=turns: len(llm.turns) == turns and responder.question is None, 5.0)  # type: ignore[misc]
    assert transcription.notices.empty() and speech.opened == [] and responder.answered == (None, None)
    assert (responder.silent, responder.answers) == (1, 0) and INSTRUCTION in llm.turns[0][0] and llm.turns[0][1]
    responder.ask(replace(unsure, language="de"))
    await eventually(lambda: responder.answers == 1, 5.0)
    assert speech.opened == ["ann de"] and responder.answered[0] == "ann" and "language `de`" in llm.turns[2][0]
    responder.ask(Question(identity="bob", name="Bob", text="What is it?", asked_at_s=0.0))
    await eventually(lambda: responder.answers == 2, 5.0)
    assert INSTRUCTION not in llm.turns[3][0] and not llm.turns[3][1]
    running.cancel()
    await responder.aclose()
    await context.knowledge.aclose()
    await transport.aclose()


class RecordedAnswers:
    """A recorder that keeps the text of each answer and how it ended."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, bool, bool]] = []

    def add_answer(self, *answer: Any, interrupted: bool, failed: bool) -> None:
        self.answers.append((answer[2], interrupted, failed))


async def test_answers_are_recorded_and_interrupted_ones_as_far_as_they_came() -> None:
    llm, transcription, recorder = SlowLlm(), RecordingTranscription(), RecordedAnswers()
    captions = cast(Transcription, cast(Any, transcription))
    transport = HttpTransport(UNREACHABLE_URL)
    router = RouterClient(transport, "k", "tenant_acme_standup", "job-1", "{}")
    context = ContextBuilder(
        KnowledgeRetrieval(router, time.monotonic), AgentManner(name="Rayroom", spoken=False), time.time
    )
    notices, fakes = Notices(captions, None, time.monotonic), (cast(Any, llm), cast(Any, recorder))
    responder = Responder(context, fakes[0], captions, notices, None, time.monotonic, {"ann"}, fakes[1])
    running = asyncio.create_task(responder.run())
    llm.may_begin.set()
    for ends in (False, True):
        if ends:
            llm.may_end.set()
        responder.ask(Question(identity="ann", name="Ann", text="How many?", asked_at_s=time.monotonic()))
        await eventually(lambda: responder.has_begun, 5.0)
        if not ends:
            responder.interrupt()
        await eventually(lambda: responder.question is None, 5.0)
    await eventually(lambda: len(recorder.answers) == 2, 5.0)
    assert recorder.answers == [("Forty ", True, False), ("Forty two.", False, False)]
    running.cancel()
    await responder.aclose()
    await context.knowledge.aclose()
    await transport.aclose()
