"""One id is in every log line of a question, in the journal and in the trace, from the agent to the model replica."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from structlog.testing import capture_logs

from deployments.common.settings import SimulationSettings
from deployments.model_replica import ModelReplica
from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.notices import Notices
from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import Responder
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from routing.catalogue import load_catalogue
from routing.models import Delta, ModelRequest
from routing.process import add_request_id
from tests.support.eventually import eventually
from tests.support.gateway import KEYS, SIMULATED, gateway_in_process, served
from tests.support.recorded_spans import attributes, recorded_spans
from tests.unit.room_agent.conversation.test_pending_answer import FakeTranscription

FAILING = SimulationSettings(seed=7, speed=10_000, failures={"gpt-6-luna": 1.0})


class OtherProcess(ModelReplica):
    """A model replica to which only the pickled request passes, as to another process."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        sent: ModelRequest = pickle.loads(pickle.dumps(request))
        for delta in await asyncio.create_task(self._collect(sent), context=contextvars.Context()):
            yield delta

    async def _collect(self, request: ModelRequest) -> list[Delta]:
        return [delta async for delta in super().stream(request)]


async def test_one_id_is_in_the_logs_of_agent_router_and_replica_in_the_journal_and_in_the_trace(
    tmp_path: Path,
) -> None:
    leaf = OtherProcess(SIMULATED, FAILING, load_catalogue())
    captions = cast(Transcription, cast(Any, FakeTranscription()))
    with capture_logs([add_request_id]) as lines, recorded_spans() as spans:
        async with gateway_in_process(tmp_path, leaf=leaf) as (gateway, cluster), served(gateway) as url:
            transport = HttpTransport(url)
            router = RouterClient(transport, KEYS.agent[0], "tenant_acme_standup", "job-1", '{"tenant_id": "acme"}')
            await router.open()
            knowledge, llm = KnowledgeRetrieval(router, time.monotonic), RouterLlm(router, url, "simple")
            context = ContextBuilder(knowledge, AgentManner(name="Rayroom", spoken=False), time.time)
            notices = Notices(captions, None, time.monotonic)
            responder = Responder(context, llm, captions, notices, None, time.monotonic, {"ann"})
            running = asyncio.create_task(responder.run())
            responder.ask(Question(identity="ann", name="Ann", text="When do we close?", asked_at_s=time.monotonic()))
            await eventually(lambda: responder.answers == 1 and responder.question is None, 10.0)
            running.cancel()
            await responder.aclose()
            await knowledge.aclose()
            await llm.aclose()
            await transport.aclose()
            events = await cluster.events()
    (answered,) = (line for line in lines if line["event"] == "question answered")
    request_id = answered["request_id"]
    assert request_id.startswith("req_")
    by_event = {line["event"]: line.get("request_id") for line in lines}
    assert by_event["attempt failed"] == by_event["vendor call failed"] == request_id
    assert {event["service"] for event in events} == {"llm", "embeddings"}
    assert {event["request_id"] for event in events} == {request_id}
    traced = {span.name.partition(" ")[0]: attributes(span).get("rayroom.request_id") for span in spans.all}
    assert traced["question"] == traced["chat"] == traced["embeddings"] == request_id
    posted = [attributes(span) for span in spans.all if span.name == "POST /v1/chat/completions"]
    assert [span["rayroom.request_id"] for span in posted] == [request_id]
