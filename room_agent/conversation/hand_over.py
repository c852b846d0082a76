"""Passes a room's conversation from an agent that leaves to its successor, through the room itself.

Only the successor receives the text, and it takes one only from the agent that its dispatch names as the predecessor:
that attribute, the identities and the participant kinds stand in tokens that no participant can make.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import structlog
from livekit import rtc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from room_agent.context.context import ConversationContext
from room_agent.conversation.chat import MAX_LAST
from room_agent.conversation.chat_limits import StreamReader, read_text
from room_agent.conversation.question_queue import MAX_WAITING
from room_agent.core.agents import REPLACES_ATTRIBUTE

TOPIC = "rayroom.hand_over"
MAX_BYTES = 1_000_000
"""A full memory of the screen is a tenth of it."""
SEND_TIMEOUT_S = 5.0
RECEIVE_TIMEOUT_S = 20.0
"""The longest wait for a predecessor that stays in the room. It lets an answer end first."""

log = structlog.get_logger()


class ChatText(BaseModel):
    """A chat message that the predecessor received."""

    model_config = ConfigDict(frozen=True)

    identity: str
    text: str = Field(repr=False)


class OpenQuestion(BaseModel):
    """A question without an answer, and the time since it was asked."""

    model_config = ConfigDict(frozen=True)

    identity: str
    name: str
    text: str = Field(repr=False)
    waited_s: float


class HandedOverState(BaseModel):
    """The part of a conversation that a successor needs."""

    model_config = ConfigDict(frozen=True)

    context: ConversationContext
    questions: Annotated[tuple[OpenQuestion, ...], Field(max_length=MAX_WAITING + 1)] = ()
    chat: Annotated[tuple[ChatText, ...], Field(max_length=MAX_LAST)] = ()


class HandOver:
    """The hand-over of one room, as both its sides see it."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._state: HandedOverState | None = None
        self._ended = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def send(self, successor: str, state: HandedOverState) -> None:
        """Send the state; a failure is logged, and the successor begins without it."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._room.local_participant.send_text(
                    state.model_dump_json(), topic=TOPIC, destination_identities=[successor]
                )
        except (TimeoutError, OSError) as error:
            log.warning("conversation not handed over", error=type(error).__name__)

    async def receive(self) -> HandedOverState | None:
        """Return the predecessor's state; None where there is no predecessor, or it leaves without a word."""
        if not self._predecessor:
            return None
        self._room.register_text_stream_handler(TOPIC, self._on_stream)
        self._room.on("participant_disconnected", self._on_disconnected)
        try:
            if self._predecessor in self._room.remote_participants:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RECEIVE_TIMEOUT_S):
                        await self._ended.wait()
            if self._reading is not None:
                await asyncio.wait({self._reading}, timeout=SEND_TIMEOUT_S)
        finally:
            self._room.off("participant_disconnected", self._on_disconnected)
            self._room.unregister_text_stream_handler(TOPIC)
        log.info("conversation taken over" if self._state is not None else "conversation begun anew")
        return self._state

    @property
    def _predecessor(self) -> str:
        return self._room.local_participant.attributes.get(REPLACES_ATTRIBUTE, "")

    def _on_disconnected(self, participant: rtc.RemoteParticipant, *_: Any) -> None:
        if participant.identity == self._predecessor:
            self._ended.set()

    def _on_stream(self, reader: StreamReader, identity: str) -> None:
        if identity != self._predecessor or self._reading is not None:
            reader.close()
            return
        self._reading = asyncio.create_task(self._read(reader), name="hand-over")

    async def _read(self, reader: StreamReader) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                self._state = HandedOverState.model_validate_json(await read_text(reader, MAX_BYTES))
        except (TimeoutError, ConnectionError, ValidationError) as error:
            # Without its text, which quotes the conversation.
            log.warning("hand-over not read", error=type(error).__name__)
        finally:
            reader.close()
            self._ended.set()
