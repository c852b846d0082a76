"""Carries one answer to the eyes and the ears of a room as it comes. Knows not where it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from livekit.agents.voice import SpeechHandle

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.question_queue import Question
from room_agent.conversation.transcription import Transcription


class PendingAnswer:
    """The text goes on where the voice fails, and the voice begins before the text is whole."""

    def __init__(self, captions: Transcription, question: Question, mouth: SpeechOutput | None) -> None:
        self.text = ""
        self.sources: tuple[str, ...] = ()
        self.handle: SpeechHandle | None = None
        self._mouth = mouth
        self._caption = captions.answer(question.identity)
        # What the router may say at most (thinking.MOST_CHARS) bounds what can wait here for the voice.
        self._words: asyncio.Queue[str | None] = asyncio.Queue()

    def begin(self) -> None:
        """Have the voice ready for the first word: it connects while the model thinks."""
        if self._mouth is not None and self.handle is None:
            self.handle = self._mouth.say(self._spoken())

    def add(self, words: str) -> None:
        """Carry some words on; the blanks before the first are none."""
        words = words if self.text else words.lstrip()
        if not words:
            return
        if not self.text:
            self.begin()
        self.text += words
        self._words.put_nowait(words)
        self._caption.add(words)

    def said_all(self) -> None:
        self._words.put_nowait(None)

    def end(self, interrupted: bool) -> None:
        self.said_all()
        if not self.text and self.handle is not None:
            # Nothing came to be said: the next speech does not wait for an empty one.
            self.handle.interrupt(force=True)
        self._caption.end(self.sources, interrupted)

    async def _spoken(self) -> AsyncIterator[str]:
        while (words := await self._words.get()) is not None:
            yield words
