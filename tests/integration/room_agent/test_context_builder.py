"""Check the frame that a question carries to the model and to the knowledge search."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from room_agent.context.context import FOLLOWS_WITHIN_S, ContextBuilder
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.core.models import FrameKept, KeptFrame, SharedTrack
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from tests.support.scripted_router import ScriptedRouter


class FixedClock:
    """A clock that moves only when a test sets it."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def frame_kept(track: SharedTrack, jpeg: bytes, at_s: float) -> FrameKept:
    return FrameKept(track=track, frame=KeptFrame(jpeg=jpeg, headers={}, why="first frame", captured_at_s=at_s))


def screen_of(name: str) -> SharedTrack:
    return SharedTrack(sid=f"TR_{name}", source="screen_share", shared_by=name, identity=f"{name.lower()}-1")


@pytest.fixture
async def router() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter().running() as router:
        yield router


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def builder(router: ScriptedRouter, clock: FixedClock) -> AsyncIterator[ContextBuilder]:
    """The context builder of a room with the screens of Bob and Carol; Carol's changed last."""
    transport = HttpTransport(router.url)
    client = RouterClient(transport, "agent-key-that-opens-rooms", "tenant_acme_standup", "job-1", "{}")
    await client.open()
    builder = ContextBuilder(
        KnowledgeRetrieval(client, asyncio.get_running_loop().time), AgentManner(name="Rayroom", spoken=False), clock
    )
    builder.on_frame_kept(frame_kept(screen_of("Bob"), b"BOB", 940.0))
    builder.on_frame_kept(frame_kept(screen_of("Carol"), b"CAROL", 999.0))
    yield builder
    await builder.knowledge.aclose()
    await transport.aclose()


async def test_my_screen_is_the_askers_screen_for_the_model_and_the_search(
    router: ScriptedRouter, builder: ContextBuilder
) -> None:
    turn = await builder.turn("What is the error on my screen?", "Bob", "bob-1")
    assert turn.image_jpeg == b"BOB" and 'of "Bob"' in turn.context
    assert router.search_requests[-1]["image"].endswith(base64.b64encode(b"BOB").decode())
    assert (await builder.turn("What is the error on my screen?", "Carol", "carol-1")).image_jpeg == b"CAROL"


async def test_a_prefetched_search_includes_the_frame_of_the_asker(
    router: ScriptedRouter, builder: ContextBuilder
) -> None:
    builder.prefetch("What number is on the slide I am sharing?", "bob-1")
    await builder.turn("What number is on the slide I am sharing?", "Bob", "bob-1")
    assert [request["image"] for request in router.search_requests] == [
        "data:image/jpeg;base64," + base64.b64encode(b"BOB").decode()
    ]


async def test_a_follow_up_gets_the_frame_of_the_previous_question(builder: ContextBuilder) -> None:
    assert (await builder.turn("And in March?", "Bob", "bob-1")).image_jpeg is None
    for question in ("What does the chart show?", "And in March?", "What about Germany?"):
        assert (await builder.turn(question, "Bob", "bob-1")).image_jpeg == b"CAROL"
    assert (await builder.turn("And in May?", "Carol", "carol-1")).image_jpeg is None


async def test_a_follow_up_stays_with_the_same_screen_unless_it_names_another_participant(
    builder: ContextBuilder,
) -> None:
    for question, jpeg in (("What is Bob showing?", b"BOB"), ("And in March?", b"BOB"), ("And Carol's?", b"CAROL")):
        assert (await builder.turn(question, "Dana", "dana-1")).image_jpeg == jpeg


async def test_a_late_question_or_one_after_another_subject_is_no_follow_up(
    builder: ContextBuilder, clock: FixedClock
) -> None:
    await builder.turn("What does the chart show?", "Bob", "bob-1")
    clock.now_s += FOLLOWS_WITHIN_S + 1.0
    assert (await builder.turn("And in March?", "Bob", "bob-1")).image_jpeg is None
    await builder.turn("What does the chart show?", "Bob", "bob-1")
    await builder.turn("Who is our CEO?", "Bob", "bob-1")
    assert (await builder.turn("And in March?", "Bob", "bob-1")).image_jpeg is None
