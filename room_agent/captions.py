"""Writes what is said in a room to everybody in it: whose words they are, and what an answer rests on."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import structlog
from livekit import rtc

TOPIC: Final = "lk.transcription"
SEGMENT: Final = "lk.segment_id"
FINAL: Final = "lk.transcription_final"
TRACK: Final = "lk.transcribed_track_id"
IDENTITY: Final = "rayroom.identity"
SPEAKER: Final = "rayroom.speaker"
"""Whose words a line is. The server names the agent as every line's sender, so the sender cannot tell."""
TO: Final = "rayroom.to"
SOURCES: Final = "rayroom.sources"
INTERRUPTED: Final = "rayroom.interrupted"
SEND_TIMEOUT_S: Final = 5.0
MOST_WAITING: Final = 64
_END: Final = None

log = structlog.get_logger()


class Captions:
    """One room's text stream. What cannot be sent in time is dropped and counted; nobody waits for it."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost = 0

    def said(self, identity: str, speaker: str, track: str, text: str) -> None:
        """Write what a participant said, as their words."""
        self._own(self._send(text, {IDENTITY: identity, SPEAKER: speaker, TRACK: track}))

    def told(self, text: str) -> None:
        """Write a line of the agent's own."""
        self._own(self._send(text, {IDENTITY: self._room.local_participant.identity}))

    def answer(self, to: str) -> AnswerCaption:
        """Begin an answer's caption, to be written as the answer comes."""
        caption = AnswerCaption(self._room, to)
        self._own(self._run(caption))
        return caption

    async def aclose(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=SEND_TIMEOUT_S)
            for task in late:
                task.cancel()

    async def _run(self, caption: AnswerCaption) -> None:
        try:
            await caption.run()
        except (TimeoutError, OSError, RuntimeError) as error:
            self._lose(error)

    async def _send(self, text: str, attributes: dict[str, str]) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                writer = await _open(self._room, attributes | {SEGMENT: _segment(), FINAL: "true"})
                await writer.write(text)
                await writer.aclose()
        except (TimeoutError, OSError, RuntimeError) as error:
            self._lose(error)

    def _lose(self, error: BaseException) -> None:
        self.lost += 1
        log.warning("a caption was not sent", error=type(error).__name__)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= MOST_WAITING:
            self.lost += 1
            work.close()
            return
        task = asyncio.create_task(work, name="caption")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class AnswerCaption:
    """The caption of one answer: opened with its first words, closed with what it rests on."""

    def __init__(self, room: rtc.Room, to: str) -> None:
        self._room = room
        us = room.local_participant.identity
        self._attributes = {SEGMENT: _segment(), FINAL: "false", IDENTITY: us, TO: to}
        self._words: asyncio.Queue[str | None] = asyncio.Queue()
        self._closing: dict[str, str] = {}

    def add(self, words: str) -> None:
        """Write `words`, soon: the voice does not wait for the text. An answer's length bounds what can wait."""
        self._words.put_nowait(words)

    def end(self, sources: Sequence[str] = (), interrupted: bool = False) -> None:
        self._closing = {FINAL: "true", SOURCES: json.dumps(list(sources)), INTERRUPTED: str(interrupted).lower()}
        self._words.put_nowait(_END)

    async def run(self) -> None:
        writer: rtc.TextStreamWriter | None = None
        more = True
        while more:
            words, more = await self._gathered()
            async with asyncio.timeout(SEND_TIMEOUT_S):
                if words:
                    writer = writer or await _open(self._room, self._attributes)
                    await writer.write(words)
        if writer is not None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await writer.aclose(attributes=self._attributes | self._closing)

    async def _gathered(self) -> tuple[str, bool]:
        """Return all words that wait, at least one, and whether more may come."""
        words = [await self._words.get()]
        while not self._words.empty():
            words.append(self._words.get_nowait())
        return "".join(word for word in words if word is not None), _END not in words


async def _open(room: rtc.Room, attributes: dict[str, str]) -> rtc.TextStreamWriter:
    return await room.local_participant.stream_text(topic=TOPIC, attributes=attributes)


def _segment() -> str:
    return f"SG_{uuid.uuid4().hex[:12]}"
