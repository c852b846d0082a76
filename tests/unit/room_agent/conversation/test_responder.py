"""An answer that fails with an unexpected error is announced to its asker."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.notices import NOTICE_TEXTS, Notices, Trouble
from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import Responder
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from tests.unit.room_agent.conversation.test_pending_answer import FakeTranscription

UNREACHABLE_URL = "http://127.0.0.1:9"


class RecordingTranscription(FakeTranscription):
    """A transcription that records the agent's notices."""

    def __init__(self) -> None:
        super().__init__()
        self.notices: asyncio.Queue[str] = asyncio.Queue()

    def notice(self, text: str) -> None:
        self.notices.put_nowait(text)


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
