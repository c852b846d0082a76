"""Check the pictures of a turn and its knowledge search over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.core.models import FrameKept, KeptFrame, SharedTrack
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from tests.support.scripted_router import ScriptedRouter


def frame_kept(track: SharedTrack, jpeg: bytes, at_s: float) -> FrameKept:
    return FrameKept(track=track, frame=KeptFrame(jpeg=jpeg, headers={}, why="first frame", captured_at_s=at_s))


def screen_of(name: str) -> SharedTrack:
    return SharedTrack(sid=f"TR_{name}", source="screen_share", shared_by=name, identity=f"{name.lower()}-1")


@pytest.fixture
async def router() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter().running() as router:
        yield router


@pytest.fixture
async def builder(router: ScriptedRouter) -> AsyncIterator[ContextBuilder]:
    """The context builder of a room with the screens of Bob and Carol; Carol's changed last."""
    transport = HttpTransport(router.url)
    client = RouterClient(transport, "agent-key-that-opens-rooms", "tenant_acme_standup", "job-1", "{}")
    await client.open()
    builder = ContextBuilder(
        KnowledgeRetrieval(client, asyncio.get_running_loop().time),
        AgentManner(name="Rayroom", spoken=False),
        lambda: 1_000.0,
    )
    builder.on_frame_kept(frame_kept(screen_of("Bob"), b"BOB", 940.0))
    builder.on_frame_kept(frame_kept(screen_of("Carol"), b"CAROL", 999.0))
    yield builder
    await builder.knowledge.aclose()
    await transport.aclose()


async def test_a_turn_has_the_askers_share_first_and_its_prefetched_search_holds_no_picture(
    router: ScriptedRouter, builder: ContextBuilder
) -> None:
    question = "Welche Zahl steht auf meiner Folie?"
    builder.prefetch(question, "bob-1")
    turn = await builder.turn(question, "Bob", "bob-1")
    assert turn.jpegs == (b"BOB", b"CAROL") and '1: screen 1 of "Bob"' in turn.context
    assert router.search_requests == [{"query": question, "top_k": 5, "user": "bob-1"}]
    assert (await builder.turn(question, "Dana", "dana-1")).jpegs == (b"CAROL", b"BOB")
