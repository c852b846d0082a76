"""Who asked something hears of it when the answer fails, whatever it fails by."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from room_agent.context.context import ContextBuilder
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.notices import SAID, Notices, Trouble
from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import Responder
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import RouterClient
from tests.unit.room_agent.test_answer import Written

NOWHERE = "http://127.0.0.1:9"


class Told(Written):
    """Captions whose lines of the agent's own are read by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    def told(self, text: str) -> None:
        self.lines.put_nowait(text)


async def test_who_asks_is_told_when_the_answer_fails_by_a_fault_of_ours() -> None:
    told = Told()
    captions = cast(Transcription, cast(Any, told))
    router = RouterClient(NOWHERE, "k", "tenant_acme_standup", "job-1", "{}")
    mind = ContextBuilder(KnowledgeRetrieval(router, time.monotonic), "Rayroom", False, time.time)
    complaints = Notices(captions, None, time.monotonic)
    answering = Responder(mind, RouterLlm(router, NOWHERE), captions, complaints, None, time.monotonic, {"ann"})
    running = asyncio.create_task(answering.run())
    # Of nothing that shows no turn can be made.
    answering.take(Question(identity="ann", name="Ann", text="\u200b", asked_at_s=0.0))
    assert await asyncio.wait_for(told.lines.get(), 5.0) == SAID[Trouble.THINKING]
    running.cancel()
    await answering.aclose()
    await router.aclose()
