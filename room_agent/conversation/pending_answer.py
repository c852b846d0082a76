"""Holds one answer while it is written and spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from livekit.agents.voice import SpeechHandle

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.question_queue import Question
from room_agent.conversation.transcription import Transcription


class PendingAnswer:
    """One answer in progress. Its text goes on where TTS fails, and TTS begins before the text is complete."""

    def __init__(self, transcription: Transcription, question: Question, speech_output: SpeechOutput | None) -> None:
        self.text = ""
        self.sources: tuple[str, ...] = ()
        self.handle: SpeechHandle | None = None
        self._asker = question.identity
        self._language = question.language
        self._speech_output = speech_output
        self._transcript = transcription.begin_answer(question.identity)
        # Unbounded, but an answer is not longer than llm.MAX_CHARS.
        self._words: asyncio.Queue[str | None] = asyncio.Queue()

    def begin(self) -> None:
        """Open the TTS stream, so that it connects while the model computes the first token."""
        if self._speech_output is not None and self.handle is None:
            self.handle = self._speech_output.say(self._spoken(), self._asker, self._language)

    def add(self, words: str) -> None:
        """Write and speak some words. Blanks before the first word are dropped."""
        words = words if self.text else words.lstrip()
        if not words:
            return
        if not self.text:
            # Once more: TTS may have been unavailable before the first token.
            self.begin()
        self.text += words
        self._words.put_nowait(words)
        self._transcript.add(words)

    def finish_speech(self) -> None:
        """End the text that is to be spoken."""
        self._words.put_nowait(None)

    def end(self, interrupted: bool) -> None:
        """Close the answer's transcript and its speech."""
        self.finish_speech()
        if not self.text and self.handle is not None:
            # Speech is played in order: an empty one would hold up the next.
            self.handle.interrupt(force=True)
        self._transcript.end(self.sources, interrupted)

    async def _spoken(self) -> AsyncIterator[str]:
        while (words := await self._words.get()) is not None:
            yield words
