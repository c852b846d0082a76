"""An answer opens its TTS stream early, and closes it if it has no words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.pending_answer import PendingAnswer
from room_agent.conversation.question_queue import Question
from room_agent.conversation.transcription import Transcription

QUESTION = Question(identity="ann", name="Ann", text="What is it?", asked_at_s=0.0)


@dataclass
class Handle:
    """The handle of a speech, as LiveKit's session returns it."""

    interrupted: bool = False

    def interrupt(self, force: bool) -> None:
        self.interrupted = force


@dataclass
class FakeSpeechOutput:
    """A silent speech output that can be unavailable."""

    available: bool = True
    speeches: list[Handle] = field(default_factory=list)

    def say(self, text: AsyncIterator[str], asker: str, language: str) -> Handle | None:
        if self.available:
            self.speeches.append(Handle())
        return self.speeches[-1] if self.available else None


class FakeTranscription:
    """A transcription that records the words of answers."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def begin_answer(self, to: str) -> FakeTranscription:
        return self

    def add(self, words: str) -> None:
        self.words.append(words)

    def end(self, sources: Sequence[str], interrupted: bool) -> None: ...


def answer_by(speech: FakeSpeechOutput, transcript: FakeTranscription | None = None) -> PendingAnswer:
    return PendingAnswer(
        cast(Transcription, transcript or FakeTranscription()), QUESTION, cast(SpeechOutput, cast(Any, speech))
    )


async def test_the_tts_stream_opens_before_the_first_word_and_only_once() -> None:
    speech = FakeSpeechOutput()
    answer = answer_by(speech)
    answer.begin()
    assert len(speech.speeches) == 1
    for words in ("It is ", "a chart."):
        answer.add(words)
    answer.end(interrupted=False)
    assert speech.speeches == [Handle(interrupted=False)]


async def test_an_answer_without_words_does_not_delay_the_next_speech() -> None:
    speech = FakeSpeechOutput()
    answer = answer_by(speech)
    answer.begin()
    answer.end(interrupted=False)
    assert speech.speeches == [Handle(interrupted=True)]


async def test_blanks_before_the_first_word_are_neither_written_nor_spoken() -> None:
    speech, transcript = FakeSpeechOutput(), FakeTranscription()
    answer = answer_by(speech, transcript)
    for words in (" ", "\n\n", "\n It is ", "a chart.", "\n"):
        answer.add(words)
    assert transcript.words == ["It is ", "a chart.", "\n"] and answer.text == "It is a chart.\n"


async def test_an_unavailable_speech_output_is_retried_at_the_first_word() -> None:
    speech = FakeSpeechOutput(available=False)
    answer = answer_by(speech)
    answer.begin()
    speech.available = True
    answer.add("It is a chart.")
    assert len(speech.speeches) == 1


async def test_a_speech_output_that_recovers_during_an_answer_does_not_start_in_its_middle() -> None:
    speech = FakeSpeechOutput(available=False)
    answer = answer_by(speech)
    answer.add("It is ")
    speech.available = True
    answer.add("a chart.")
    assert speech.speeches == []
