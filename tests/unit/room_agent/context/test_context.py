"""Check that the context builder puts pictures, descriptions, remarks and passages of its room into the prompt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from room_agent.context import context
from room_agent.context.context import ContextBuilder
from room_agent.context.pictures import ALONE_PX
from room_agent.context.prompt import AgentManner
from room_agent.context.retrieval import KnowledgeRetrieval
from room_agent.core.models import FrameDescribed, FrameKept, KeptFrame, SharedTrack, TrackEnded
from room_agent.core.router_client import Description
from routing.models import Passage

TRACK = SharedTrack(sid="TR_1", source="screen_share", shared_by="Bob", identity="bob-1")
FRAME = KeptFrame(jpeg=b"JPEG", headers={"x-frame-track": "TR_1"}, why="new", captured_at_s=990.0, size_px=(1_024, 576))
QUESTION = "Wie viele Tage Urlaub habe ich?"


@dataclass
class FakeRetrieval:
    """A retrieval that returns one passage at once, and stands for its own search."""

    queries: list[tuple[str, str]] = field(default_factory=list)
    prefetched: list[tuple[str, str]] = field(default_factory=list)

    def prefetch(self, question: str, asker: str) -> None:
        self.prefetched.append((question, asker))

    def finish(self, question: str, asker: str) -> FakeRetrieval:
        self.queries.append((question, asker))
        return self

    async def passages(self) -> tuple[Passage, ...]:
        return (Passage(passage_id="p1", source="handbook.pdf", text="Leave is 30 days.", score=0.5),)


@pytest.fixture
def retrieval() -> FakeRetrieval:
    return FakeRetrieval()


@pytest.fixture
def builder(retrieval: FakeRetrieval) -> ContextBuilder:
    knowledge = cast(KnowledgeRetrieval, cast(Any, retrieval))
    return ContextBuilder(knowledge, AgentManner(name="Rayroom", spoken=False), lambda: 1_000.0)


def describe(builder: ContextBuilder, text: str) -> None:
    answer = Description(description=text, model="m", tier="simple", cost_nanousd=1, simulated=True)
    builder.on_frame_described(FrameDescribed(track=TRACK, frame=FRAME, answer=answer, took_s=1.0))


async def test_every_turn_has_the_picture_its_description_and_the_passages(
    builder: ContextBuilder, retrieval: FakeRetrieval
) -> None:
    builder.on_frame_kept(FrameKept(track=TRACK, frame=FRAME))
    describe(builder, "A chart of revenue.")
    turn = await builder.turn(QUESTION, "Ann", "ann-1")
    assert turn.jpegs == (b"JPEG",) and '1: screen 1 of "Bob"' in turn.context
    assert "A chart of revenue." in turn.context and turn.sources == ("handbook.pdf",)
    assert retrieval.queries == [(QUESTION, "ann-1")]


async def test_a_kept_frame_is_used_before_its_description_arrives(builder: ContextBuilder) -> None:
    builder.on_frame_kept(FrameKept(track=TRACK, frame=FRAME))
    assert (await builder.turn(QUESTION, "Ann", "ann-1")).jpegs == (b"JPEG",)


async def test_an_ended_track_leaves_its_description_and_no_frame(builder: ContextBuilder) -> None:
    builder.on_frame_kept(FrameKept(track=TRACK, frame=FRAME))
    describe(builder, "A chart of revenue.")
    builder.on_track_ended(TrackEnded(track=TRACK))
    turn = await builder.turn(QUESTION, "Ann", "ann-1")
    assert turn.jpegs == () and "A chart of revenue." in turn.context and "shown now" not in turn.context


async def test_remarks_and_interrupted_answers_are_quoted_with_their_speakers(builder: ContextBuilder) -> None:
    builder.add_remark("Bob", "Let us begin.")
    builder.answered("It is", interrupted=True)
    builder.answered("", interrupted=True)
    context = (await builder.turn("How many days of leave do I get?", "Ann", "ann-1")).context
    assert '"Bob", 0 s ago: Let us begin.' in context and "[you], 0 s ago: It is … (interrupted)" in context
    assert context.count("[you]") == 1


def test_an_interim_question_is_prefetched(builder: ContextBuilder, retrieval: FakeRetrieval) -> None:
    builder.prefetch(QUESTION, "ann-1")
    assert retrieval.prefetched == [(QUESTION, "ann-1")]


async def test_nothing_is_searched_where_the_model_has_a_tool_for_it(
    builder: ContextBuilder, retrieval: FakeRetrieval
) -> None:
    builder.searches_first = False
    builder.prefetch(QUESTION, "ann-1")
    assert (await builder.turn(QUESTION, "Ann", "ann-1")).sources == ()
    assert retrieval.prefetched == [] and retrieval.queries == []
    assert (await builder.turn(QUESTION, "Ann", "ann-1", searches=True)).sources == ("handbook.pdf",)


async def test_a_turn_has_the_picture_as_it_is_now(builder: ContextBuilder) -> None:
    asked: list[tuple[str, int]] = []

    async def current_frame(track: str, longest_px: int) -> KeptFrame | None:
        asked.append((track, longest_px))
        return replace(FRAME, jpeg=b"NOW") if len(asked) == 1 else None

    builder.on_frame_kept(FrameKept(track=TRACK, frame=FRAME))
    builder.current_frame = current_frame
    turns = [await builder.turn(QUESTION, "Ann", "ann-1") for _ in range(2)]
    assert [turn.jpegs for turn in turns] == [(b"NOW",), (b"JPEG",)] and asked == [("TR_1", ALONE_PX)] * 2


async def test_three_shares_join_a_turn_side_by_side_each_named_by_its_participant(builder: ContextBuilder) -> None:
    all_asked = asyncio.Barrier(3)

    async def current_frame(track: str, _: int) -> KeptFrame | None:
        # Each waits until all three are asked for.
        await all_asked.wait()
        return replace(FRAME, jpeg=track.encode())

    for number, name in enumerate(("Bob", "Cat", "Ann"), 1):
        share = SharedTrack(sid=f"TR_{number}", source="screen_share", shared_by=name, identity=name)
        builder.on_frame_kept(FrameKept(track=share, frame=replace(FRAME, captured_at_s=990.0 + number)))
    builder.current_frame = current_frame
    turn = await builder.turn(QUESTION, "Cat", "Cat")
    assert turn.jpegs == (b"TR_2", b"TR_3", b"TR_1") and turn.tokens <= context.BUDGET_TOKENS
    assert '| 1: screen 2 of "Cat"\n| 2: screen 3 of "Ann"\n| 3: screen 1 of "Bob"\n' in turn.context


async def test_a_picture_that_takes_too_long_or_fails_is_replaced_by_the_last_kept_one(
    builder: ContextBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def current_frame(track: str, _: int) -> KeptFrame | None:
        if track == "TR_late":
            await asyncio.Event().wait()
        if track == "TR_failed":
            raise ValueError("an error of the encoder")
        return replace(FRAME, jpeg=b"NOW")

    monkeypatch.setattr(context, "CURRENT_FRAME_TIMEOUT_S", 0.01)
    builder.on_frame_kept(FrameKept(track=TRACK, frame=FRAME))
    for sid in ("TR_late", "TR_failed"):
        frame = replace(FRAME, jpeg=sid.encode(), captured_at_s=0.0)
        builder.on_frame_kept(FrameKept(track=replace(TRACK, sid=sid), frame=frame))
    builder.current_frame = current_frame
    assert (await builder.turn(QUESTION, "Ann", "ann-1")).jpegs == (b"NOW", b"TR_late", b"TR_failed")
