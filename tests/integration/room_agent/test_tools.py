"""The agent's tools against a real router: its chat route with tools, its tool routes, and a tenant's MCP server."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from deployments.common.settings import ToolSettings
from room_agent.context.prompt import AgentManner, PromptQuestion, compose
from room_agent.context.screen_memory import ScreenMemory
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.question_queue import Question
from room_agent.conversation.tool_client import ToolClient
from room_agent.conversation.tool_turns import ToolTurns
from room_agent.conversation.transcription import Transcription
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from routing.rooms import read_tenant_tools
from tests.support.gateway import KEYS, InProcessCluster, Tenants, gateway_in_process, served
from tests.support.room_notices import RoomNotices
from tests.support.tool_servers import OrderServer

# asyncio leaves the socket of a connection whose opening is cancelled to the garbage collector, and so to a later test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


ROOM = "tenant_acme_shop"


@asynccontextmanager
async def tools_of_a_room(
    path: Path, record: dict[str, Any] | None, searches: bool = False
) -> AsyncIterator[tuple[ToolTurns, RoomNotices, InProcessCluster]]:
    directory, notices = Tenants(), RoomNotices()
    tools, refused = read_tenant_tools(record)
    assert refused == ()
    directory.tenants["acme"] = replace(directory.tenants["acme"], tools=tools)
    limits = ToolSettings(internal_hosts=("127.0.0.1",))
    async with gateway_in_process(path, directory=directory, tools=limits) as (gateway, cluster):
        async with served(gateway) as url:
            transport = HttpTransport(url)
            router = RouterClient(transport, KEYS.agent[0], ROOM, "job-1", '{"tenant_id": "acme"}')
            opened = await router.open()
            llm = RouterLlm(router, url)
            offers = opened.has_tools or searches
            client = ToolClient(router, has_tools=opened.has_tools, searches=searches) if offers else None
            turns = ToolTurns(llm, client, cast(Transcription, cast(Any, notices)), time.monotonic)
            listed = asyncio.Event()
            turns.on_listed = lambda _: listed.set()
            turns.start()
            try:
                if client is not None:
                    async with asyncio.timeout(20.0):
                        await listed.wait()
                yield turns, notices, cluster
            finally:
                await turns.aclose()
                await llm.aclose()
                await transport.aclose()


async def said(turns: ToolTurns, question: Question) -> str:
    material = PromptQuestion(text=question.text, asker=question.name, now_s=1.0, memory=ScreenMemory())
    agent = AgentManner(name="Rayroom", spoken=False, has_tools=bool(turns.tools))
    turn = compose(material, "5d0c3a91e27b", 6_000, agent)
    return "".join([words async for words in turns.answer(turn.messages(), turn.key, question, False)])


def question(text: str, **changes: Any) -> Question:
    return Question(identity="ann", name="Ann", text=text, asked_at_s=0.0, **changes)


async def test_a_tool_of_the_tenants_server_answers_and_its_call_is_billed(tmp_path: Path) -> None:
    async with OrderServer().running() as shop:
        record = {"servers": [{"name": "shop", "url": shop.url, "priceNanousd": 500}]}
        async with tools_of_a_room(tmp_path, record) as (turns, notices, cluster):
            assert [tool.changes for tool in turns.tools if tool.name == "shop_order_status"] == [False]
            answer = await said(turns, question("What is the shop order status?"))
            assert answer.startswith("[simulated ") and "harbour forty two" in answer
            # The smallest instance of the tool's schema leaves the order out.
            assert shop.calls == [("order_status", 17)] and notices.texts == ["Looking up: Order status"]
            events = await cluster.events()
            assert [event["cost_nanousd"] for event in events if event["service"] == "tools"] == [500]
            assert {event["participant"] for event in events} == {"ann"}


async def test_a_tool_that_changes_something_waits_for_a_yes(tmp_path: Path) -> None:
    async with OrderServer().running() as shop:
        record = {"servers": [{"name": "shop", "url": shop.url}]}
        async with tools_of_a_room(tmp_path, record) as (turns, _, _):
            answer = await said(turns, question("Please shop cancel order now."))
            assert "Cancel an order" in answer and shop.calls == []
            turns.confirmation.on_answer_ended(True, 0.0)
            agreed = turns.confirmation.take("ann", "Yes.", 1.0)
            assert "is cancelled" in await said(turns, question("Yes.", confirmed=agreed))
            assert [name for name, _ in shop.calls] == ["cancel_order"]


async def test_a_tenant_without_tools_is_answered_without_any(tmp_path: Path) -> None:
    async with OrderServer().running() as shop, tools_of_a_room(tmp_path, None) as (turns, notices, _):
        answer = await said(turns, question("What is the shop order status?"))
        assert answer.startswith("[simulated ") and "forty two" not in answer
        assert shop.calls == [] and notices.texts == [] and turns.tools == ()


async def test_the_model_searches_the_knowledge_base_where_that_is_a_tool_and_only_then(tmp_path: Path) -> None:
    async with tools_of_a_room(tmp_path, None, searches=True) as (turns, notices, cluster):
        assert [tool.name for tool in turns.tools] == ["knowledge"]
        await said(turns, question("How are you?"))
        assert notices.texts == [] and "embeddings" not in {event["service"] for event in await cluster.events()}
        await said(turns, question("What does our knowledge base say?"))
        assert notices.texts == ["Looking up: knowledge base"]
        assert {event["service"] for event in await cluster.events()} == {"llm", "embeddings"}
