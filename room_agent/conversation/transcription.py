"""Writes what is said in a room to everybody in it: whose words they are, and what an answer rests on."""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
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
SAYING_EVERY_S: Final = 0.25
"""How often what somebody is saying is written while they say it."""
MOST_WAITING: Final = 64
_END: Final = None

log = structlog.get_logger()


def _segment() -> str:
    return f"SG_{uuid.uuid4().hex[:12]}"


@dataclass(slots=True)
class TranscriptSegment:
    """The line that one microphone's utterance is written on; clients replace its text as long as its name stays."""

    attributes: dict[str, str]
    """Whose words it is, and its name."""
    written_at_s: float = -math.inf
    writing: asyncio.Task[None] | None = None

    def may_write(self, now_s: float) -> bool:
        """Tell whether the last text has been sent, some time ago."""
        return now_s - self.written_at_s >= SAYING_EVERY_S and (self.writing is None or self.writing.done())


def _line(identity: str, speaker: str, track: str) -> TranscriptSegment:
    return TranscriptSegment({IDENTITY: identity, SPEAKER: speaker, TRACK: track, SEGMENT: _segment()})


class Transcription:
    """One room's text stream. What cannot be sent in time is dropped and counted; nobody waits for it."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._tasks: set[asyncio.Task[None]] = set()
        self._segments: dict[str, TranscriptSegment] = {}
        self.lost = 0

    def saying(self, identity: str, speaker: str, track: str, text: str, now_s: float) -> None:
        """Write what a participant has said so far, in place of what stood there; not too often. Nothing ends it."""
        if not text:
            self.silent(track)
            return
        segment = self._segments.setdefault(track, _line(identity, speaker, track))
        if segment.may_write(now_s):
            segment.written_at_s = now_s
            segment.writing = self._own(self._send(text, segment.attributes | {FINAL: "false"}))

    def said(self, identity: str, speaker: str, track: str, text: str) -> None:
        """Write what a participant said, as their words, in place of what was written of it so far."""
        segment = self._segments.pop(track, None)
        self._end(segment or _line(identity, speaker, track), text)

    def silent(self, track: str) -> None:
        """Take back what was written of an utterance that came to nothing; a microphone that is no more says none."""
        if (segment := self._segments.pop(track, None)) is not None:
            self._end(segment, "")

    def told(self, text: str, only_to: str | None = None) -> None:
        """Write a line of the agent's own, to everybody or to one participant."""
        us = self._room.local_participant.identity
        self._own(self._send(text, {IDENTITY: us, SEGMENT: _segment(), FINAL: "true"}, only_to=only_to))

    def answer(self, to: str) -> AnswerTranscript:
        """Begin an answer's caption, to be written as the answer comes."""
        caption = AnswerTranscript(self._room, to)
        self._own(self._run(caption))
        return caption

    async def aclose(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=SEND_TIMEOUT_S)
            for task in late:
                task.cancel()

    def _end(self, segment: TranscriptSegment, text: str) -> None:
        self._own(self._send(text, segment.attributes | {FINAL: "true"}, after=segment.writing))

    async def _run(self, caption: AnswerTranscript) -> None:
        try:
            await caption.run()
        except (TimeoutError, OSError, RuntimeError) as error:
            self._lose(error)

    async def _send(
        self,
        text: str,
        attributes: dict[str, str],
        after: asyncio.Task[None] | None = None,
        only_to: str | None = None,
    ) -> None:
        if after is not None:
            # Or an older text would take the place of the newer one.
            await asyncio.wait({after}, timeout=SEND_TIMEOUT_S)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                writer = await _open(self._room, attributes, only_to)
                await writer.write(text)
                await writer.aclose()
        except (TimeoutError, OSError, RuntimeError) as error:
            self._lose(error)

    def _lose(self, error: BaseException) -> None:
        self.lost += 1
        log.warning("a caption was not sent", error=type(error).__name__)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        if len(self._tasks) >= MOST_WAITING:
            self.lost += 1
            work.close()
            return None
        task = asyncio.create_task(work, name="caption")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class AnswerTranscript:
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


async def _open(room: rtc.Room, attributes: dict[str, str], only_to: str | None = None) -> rtc.TextStreamWriter:
    to = [only_to] if only_to is not None else None
    return await room.local_participant.stream_text(topic=TOPIC, attributes=attributes, destination_identities=to)
