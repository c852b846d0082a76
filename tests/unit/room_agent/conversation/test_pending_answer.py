"""When an answer's voice is made ready, and what becomes of it where no word came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from room_agent.audio.tts import SpeechOutput
from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import PendingAnswer
from room_agent.conversation.transcription import Transcription

QUESTION = Question(identity="ann", name="Ann", text="What is it?", asked_at_s=0.0)


@dataclass
class Handle:
    """A speech, as livekit's session hands it out."""

    interrupted: bool = False

    def interrupt(self, force: bool) -> None:
        self.interrupted = force


@dataclass
class Voice:
    """A mouth that says nothing, and can be unable to."""

    able: bool = True
    speeches: list[Handle] = field(default_factory=list)

    def say(self, text: AsyncIterator[str]) -> Handle | None:
        if self.able:
            self.speeches.append(Handle())
        return self.speeches[-1] if self.able else None


class Written:
    """Captions that are read by nobody but the test."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def answer(self, to: str) -> Written:
        return self

    def add(self, words: str) -> None:
        self.words.append(words)

    def end(self, sources: Sequence[str], interrupted: bool) -> None: ...


def answer_by(voice: Voice, written: Written | None = None) -> PendingAnswer:
    return PendingAnswer(cast(Transcription, written or Written()), QUESTION, cast(SpeechOutput, cast(Any, voice)))


async def test_the_voice_is_ready_before_the_first_word_and_asked_for_once() -> None:
    voice = Voice()
    answer = answer_by(voice)
    answer.begin()
    assert len(voice.speeches) == 1
    for words in ("It is ", "a chart."):
        answer.add(words)
    answer.end(interrupted=False)
    assert voice.speeches == [Handle(interrupted=False)]


async def test_an_answer_without_a_word_does_not_keep_the_next_speech_waiting() -> None:
    voice = Voice()
    answer = answer_by(voice)
    answer.begin()
    answer.end(interrupted=False)
    assert voice.speeches == [Handle(interrupted=True)]


async def test_blanks_before_the_first_word_are_neither_written_nor_said() -> None:
    voice, written = Voice(), Written()
    answer = answer_by(voice, written)
    for words in (" ", "\n\n", "\n It is ", "a chart.", "\n"):
        answer.add(words)
    assert written.words == ["It is ", "a chart.", "\n"] and answer.text == "It is a chart.\n"


async def test_a_voice_that_could_not_be_had_is_asked_for_again_with_the_first_word() -> None:
    voice = Voice(able=False)
    answer = answer_by(voice)
    answer.begin()
    voice.able = True
    answer.add("It is a chart.")
    assert len(voice.speeches) == 1


async def test_a_voice_that_comes_back_in_the_middle_of_an_answer_does_not_begin_it_late() -> None:
    voice = Voice(able=False)
    answer = answer_by(voice)
    answer.add("It is ")
    voice.able = True
    answer.add("a chart.")
    assert voice.speeches == []
