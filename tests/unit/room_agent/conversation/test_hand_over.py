"""A conversation goes from an agent to its successor, and from nobody else."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from livekit import rtc

from room_agent.context.context import ConversationContext
from room_agent.context.prompt import Remark
from room_agent.context.screen_memory import ScreenMemory
from room_agent.conversation import hand_over
from room_agent.conversation.hand_over import TOPIC, ChatText, HandedOverState, HandOver, OpenQuestion
from room_agent.core.agents import REPLACES_ATTRIBUTE
from tests.unit.room_agent.conversation.test_chat_limits import FakeStream


class SuccessorRoom(rtc.EventEmitter[Any]):
    """The room as the successor sees it: its predecessor is in it."""

    def __init__(self, predecessor: str = "old") -> None:
        super().__init__()
        attributes = {REPLACES_ATTRIBUTE: predecessor} if predecessor else {}
        self.local_participant = cast(Any, type("Local", (), {"attributes": attributes}))
        self.remote_participants = {"old": cast(Any, type("Old", (), {"identity": "old"}))}
        self.handlers: dict[str, Any] = {}

    def register_text_stream_handler(self, topic: str, handler: Any) -> None:
        self.handlers[topic] = handler

    def unregister_text_stream_handler(self, topic: str) -> None:
        del self.handlers[topic]

    def send(self, sender: str, text: str) -> FakeStream:
        stream = FakeStream(text)
        self.handlers[TOPIC](stream, sender)
        return stream


def state() -> HandedOverState:
    memory = ScreenMemory()
    memory.add("TR_1", "Slide 3: revenue was 412.", 10.0, shared_by="Ann")
    memory.add("TR_1", "Slide 4: costs were 97.", 20.0, shared_by="Ann")
    return HandedOverState(
        context=ConversationContext(screens=memory.stored(), remarks=(Remark(speaker="Ann", text="hello", at_s=1.0),)),
        questions=(OpenQuestion(identity="ann", name="Ann", text="And now?", waited_s=2.0),),
        chat=(ChatText(identity="ann", text="And now?"),),
    )


async def receiving(room: SuccessorRoom) -> asyncio.Task[HandedOverState | None]:
    task = asyncio.create_task(HandOver(cast(rtc.Room, room)).receive())
    await asyncio.sleep(0)
    return task


async def test_the_successor_gets_all_that_its_predecessor_sent() -> None:
    room = SuccessorRoom()
    task = await receiving(room)
    room.send("old", state().model_dump_json())
    assert await task == state() and room.handlers == {}


async def test_a_participant_hands_nothing_over() -> None:
    room = SuccessorRoom()
    task = await receiving(room)
    forged = room.send("ann", state().model_dump_json())
    room.emit("participant_disconnected", room.remote_participants["old"])
    assert await task is None and forged.closed == 1 and forged.chunks_read == 0


@pytest.mark.parametrize(
    "text", ["", "{}", "x" * (hand_over.MAX_BYTES + 1)], ids=["nothing", "another form", "too long"]
)
async def test_a_broken_hand_over_is_none(text: str) -> None:
    room = SuccessorRoom()
    task = await receiving(room)
    room.send("old", text)
    assert await task is None


async def test_nobody_waits_without_a_predecessor_or_longer_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await HandOver(cast(rtc.Room, SuccessorRoom(predecessor=""))).receive() is None
    assert await HandOver(cast(rtc.Room, SuccessorRoom(predecessor="left before"))).receive() is None
    monkeypatch.setattr(hand_over, "RECEIVE_TIMEOUT_S", 0.01)
    assert await HandOver(cast(rtc.Room, SuccessorRoom())).receive() is None
