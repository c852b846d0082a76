"""Publishes transcripts of speech and the agent's answers, with their sources, on a room's text streams."""

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

from room_agent.core.tasks import OwnedTasks

TOPIC: Final = "lk.transcription"
SEGMENT: Final = "lk.segment_id"
FINAL: Final = "lk.transcription_final"
TRACK: Final = "lk.transcribed_track_id"
IDENTITY: Final = "rayroom.identity"
SPEAKER: Final = "rayroom.speaker"
"""The speaker's name. LiveKit reports the agent as the sender of every segment, so attributes carry the speaker."""
TO: Final = "rayroom.to"
SOURCES: Final = "rayroom.sources"
INTERRUPTED: Final = "rayroom.interrupted"
SEND_TIMEOUT_S: Final = 5.0
PARTIAL_EVERY_S: Final = 0.25
"""The shortest interval between two partial transcripts of one utterance."""
MAX_PENDING: Final = 64
_END: Final = None

log = structlog.get_logger()


def _segment() -> str:
    return f"SG_{uuid.uuid4().hex[:12]}"


@dataclass(slots=True)
class TranscriptSegment:
    """The segment of one utterance. Clients replace the text of a segment as long as its id stays the same."""

    attributes: dict[str, str]
    """The speaker, the track and the segment's id."""
    written_at_s: float = -math.inf
    writing: asyncio.Task[None] | None = None

    def may_write(self, now_s: float) -> bool:
        """Return whether the last partial is sent and `PARTIAL_EVERY_S` old."""
        return now_s - self.written_at_s >= PARTIAL_EVERY_S and (self.writing is None or self.writing.done())


def _new_segment(identity: str, speaker: str, track: str) -> TranscriptSegment:
    return TranscriptSegment({IDENTITY: identity, SPEAKER: speaker, TRACK: track, SEGMENT: _segment()})


class Transcription:
    """One room's transcripts. Callers never wait: text that cannot be sent in time is dropped and counted."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._tasks = OwnedTasks()
        self._segments: dict[str, TranscriptSegment] = {}
        self.lost = 0

    def partial(self, identity: str, speaker: str, track: str, text: str, now_s: float) -> None:
        """Publish an utterance so far in place of its last partial, not too often. An empty text withdraws it."""
        if not text:
            self.withdraw(track)
            return
        segment = self._segments.setdefault(track, _new_segment(identity, speaker, track))
        if segment.may_write(now_s):
            segment.written_at_s = now_s
            segment.writing = self._start(self._send(text, segment.attributes | {FINAL: "false"}))

    def final(self, identity: str, speaker: str, track: str, text: str) -> None:
        """Publish the final transcript of an utterance in place of its partials."""
        segment = self._segments.pop(track, None)
        self._end(segment or _new_segment(identity, speaker, track), text)

    def withdraw(self, track: str) -> None:
        """End the track's open segment with an empty text: its utterance has no final transcript."""
        if (segment := self._segments.pop(track, None)) is not None:
            self._end(segment, "")

    def notice(self, text: str, only_to: str | None = None) -> None:
        """Publish a text of the agent to all participants, or to one identity."""
        own_identity = self._room.local_participant.identity
        self._start(self._send(text, {IDENTITY: own_identity, SEGMENT: _segment(), FINAL: "true"}, only_to=only_to))

    def begin_answer(self, to: str) -> AnswerTranscript:
        """Open the transcript of an answer to the participant `to`; its text is published as it is added."""
        transcript = AnswerTranscript(self._room, to)
        self._start(self._run(transcript))
        return transcript

    async def aclose(self) -> None:
        """Wait for pending text at most `SEND_TIMEOUT_S`, then drop the rest."""
        await self._tasks.wait(SEND_TIMEOUT_S)
        await self._tasks.aclose(0.0)

    def _end(self, segment: TranscriptSegment, text: str) -> None:
        self._start(self._send(text, segment.attributes | {FINAL: "true"}, after=segment.writing))

    async def _run(self, transcript: AnswerTranscript) -> None:
        try:
            await transcript.run()
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
            # Otherwise an older text could replace this one.
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
        log.warning("transcript not sent", error=type(error).__name__)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        if len(self._tasks) >= MAX_PENDING:
            self.lost += 1
            work.close()
            return None
        return self._tasks.start(work, "transcript")


class AnswerTranscript:
    """The transcript of one answer: opened with its first words, closed with its sources."""

    def __init__(self, room: rtc.Room, to: str) -> None:
        self._room = room
        own_identity = room.local_participant.identity
        self._attributes = {SEGMENT: _segment(), FINAL: "false", IDENTITY: own_identity, TO: to}
        self._words: asyncio.Queue[str | None] = asyncio.Queue()
        self._closing: dict[str, str] = {}

    def add(self, words: str) -> None:
        """Queue `words` for publication: TTS does not wait for it. The queue is bounded by the answer's length."""
        self._words.put_nowait(words)

    def end(self, sources: Sequence[str] = (), interrupted: bool = False) -> None:
        """Close the segment after the queued words, with the answer's sources as attributes."""
        self._closing = {FINAL: "true", SOURCES: json.dumps(list(sources)), INTERRUPTED: str(interrupted).lower()}
        self._words.put_nowait(_END)

    async def run(self) -> None:
        """Publish words until `end`. An answer without a word publishes nothing."""
        writer: rtc.TextStreamWriter | None = None
        more = True
        while more:
            words, more = await self._next_words()
            async with asyncio.timeout(SEND_TIMEOUT_S):
                if words:
                    writer = writer or await _open(self._room, self._attributes)
                    await writer.write(words)
        if writer is not None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await writer.aclose(attributes=self._attributes | self._closing)

    async def _next_words(self) -> tuple[str, bool]:
        """Return all queued words, at least one, and whether more may come."""
        words = [await self._words.get()]
        while not self._words.empty():
            words.append(self._words.get_nowait())
        return "".join(word for word in words if word is not None), _END not in words


async def _open(room: rtc.Room, attributes: dict[str, str], only_to: str | None = None) -> rtc.TextStreamWriter:
    to = [only_to] if only_to is not None else None
    return await room.local_participant.stream_text(topic=TOPIC, attributes=attributes, destination_identities=to)
