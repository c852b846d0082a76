"""Answers a room's questions one at a time: thinks, writes, speaks, and stops for who interrupts. Hears nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Container, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from livekit.agents.voice import SpeechHandle

from room_agent.audio.tts import SpeechOutput
from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import Turn
from room_agent.conversation.llm import NoAnswer
from room_agent.conversation.notices import Notices, Trouble
from room_agent.conversation.question_queue import Question, QuestionQueue
from room_agent.conversation.transcription import Transcription
from room_agent.core.counters import REMEMBERED_ANSWERS, percentile
from room_agent.core.tasks import log_task_end
from routing.complexity import rejects
from routing.evidence import needs_stronger
from routing.models import Answer

log = structlog.get_logger()


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


REMEMBERED_S = 120.0
"""What somebody asks later than that is about something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswer:
    """How the room's last answer ended."""

    to: str
    text: str = field(repr=False)
    failed: bool
    """No answer came, or it broke off by itself."""
    interrupted: bool
    ended_at_s: float


def failed_before(last: LastAnswer | None, question: Question) -> bool:
    """Tell whether a question comes after an answer to the same person that did not do.

    None came, it declined, or the question begins by rejecting it. Who only interrupts an answer has not judged it.
    """
    if last is None or last.to != question.identity or question.asked_at_s - last.ended_at_s > REMEMBERED_S:
        return False
    if last.failed or rejects(question.text):
        return True
    answer = Answer(text=last.text, model="", finish="stop", usage=None)
    return not last.interrupted and needs_stronger(answer) is not None


LONGEST_ANSWER_S = 180.0
INTERRUPTS_S = 0.4
"""How long the person who is being answered has to speak to stop the answer: a cough is shorter."""
CLOSE_TIMEOUT_S = 5.0


class AnswerSource(Protocol):
    """Who finds the words."""

    def answer(self, messages: list[dict[str, Any]], failed_before: bool = False) -> AsyncIterator[str]: ...


class Responder:
    """One room's answers, from `run` to `aclose`. Without a mouth they are written only."""

    def __init__(
        self,
        mind: ContextBuilder,
        thinking: AnswerSource,
        captions: Transcription,
        complaints: Notices,
        mouth: SpeechOutput | None,
        clock: Callable[[], float],
        people: Container[str],
    ) -> None:
        self._mind = mind
        self.thinking = thinking
        self._captions = captions
        self._complaints = complaints
        self._mouth = mouth
        self._clock = clock
        self._people = people
        self._turns = QuestionQueue()
        self.question: Question | None = None
        """What is being answered."""
        self.begun = False
        """Whether a word of its answer is there."""
        self._answering: asyncio.Task[None] | None = None
        self._answered: str | None = None
        self._answered_at_s = 0.0
        self._last: LastAnswer | None = None
        self.answers = self.interruptions = 0
        self._word_s: deque[float] = deque(maxlen=REMEMBERED_ANSWERS)
        self._sound_s: deque[float] = deque(maxlen=REMEMBERED_ANSWERS)

    async def run(self) -> None:
        """Answer question after question, until cancelled."""
        while True:
            question = await self._turns.next(self._people)
            if Trouble.BUDGET in self._complaints:
                continue
            self.question, self.begun = question, False
            self._answered = question.identity
            self._answering = asyncio.create_task(self._answer(question), name="answer")
            try:
                await asyncio.wait({self._answering}, timeout=LONGEST_ANSWER_S)
            finally:
                self._answering.cancel()
            await asyncio.wait({self._answering}, timeout=CLOSE_TIMEOUT_S)
            log_task_end(self._answering)
            self.question = None

    async def aclose(self) -> None:
        """Break off what is being answered, and wait until it has ended."""
        if self._answering is not None:
            self._answering.cancel()
            await asyncio.wait({self._answering}, timeout=CLOSE_TIMEOUT_S)

    @property
    def free(self) -> bool:
        """Tell whether nobody waits for an answer's first word."""
        return (self.question is None or self.begun) and not len(self._turns)

    @property
    def answered(self) -> tuple[str | None, float | None]:
        """Return whom the last answer was for, and when it ended: now, while one is being given."""
        if self._answered is None:
            return None, None
        return self._answered, self._clock() if self.question is not None else self._answered_at_s

    def waits_since_s(self, identity: str) -> float | None:
        """Return since when somebody's question has been waiting for the answer to another's."""
        return self._turns.asked_at_s(identity)

    def take(self, question: Question) -> None:
        """Answer a question in its turn; a newer one of the same person stops the answer to the older one."""
        asked = self.question
        if asked is None or asked.identity != question.identity:
            self._turns.offer(question)
            return
        begun = self.begun
        self.interrupt()
        if begun:
            self._turns.offer(question)
        else:
            # They went on speaking before a word was answered: it is one question.
            self._turns.join(asked.text, question)

    @property
    def askers(self) -> set[str]:
        """Return who waits for an answer, or is being given one."""
        return self._turns.waiting | ({self.question.identity} if self.question is not None else set())

    def voiced(self, identity: str, speech_s: float) -> None:
        """Take in that somebody has been speaking for so long."""
        asked = self.question
        if asked is not None and self.begun and asked.identity == identity and speech_s >= INTERRUPTS_S:
            self.interrupt()

    def sounds(self) -> None:
        """Take in that the voice is heard."""
        if self.question is not None and self.begun:
            self._sound_s.append(self._clock() - self.question.asked_at_s)

    def forget(self, identity: str) -> None:
        """Drop the question of somebody who asks for silence."""
        self._turns.drop(identity)

    def left(self, identity: str) -> None:
        """Drop the question of somebody who left, and stop the answer to it."""
        self.forget(identity)
        if self.question is not None and self.question.identity == identity:
            self.interrupt()

    def look(self) -> None:
        """Take in that people came or left: a question whose asker is back is answered now."""
        self._turns.look()

    def interrupt(self) -> None:
        if self._answering is not None and not self._answering.done() and self.question is not None:
            self.interruptions += 1
            self.question = None
            self._answering.cancel()
            if self._mouth is not None:
                self._mouth.hush()

    def report(self) -> dict[str, float]:
        counts: dict[str, float] = {
            "voice_answers": self.answers,
            "voice_interruptions": self.interruptions,
            "voice_questions_shed": self._turns.shed,
        }
        delays = _percentiles("voice_first_word", self._word_s) | _percentiles("voice_first_sound", self._sound_s)
        return counts | delays

    async def _answer(self, question: Question) -> None:
        answer = PendingAnswer(self._captions, question, self._mouth)
        interrupted, failed = True, False
        try:
            turn = await self._mind.turn(question.text, question.name, question.identity)
            self._mind.said(question.name, question.text)
            await self._speak(turn, answer, question)
            interrupted = False
        except NoAnswer as error:
            interrupted, failed = False, True
            log.warning("no answer", trouble=str(error.trouble), status=error.answered_with)
            self._complaints.fails(error.trouble)
        except Exception:
            # Whatever it was, who asked must not wait for nothing; `run` logs it.
            interrupted, failed = False, True
            self._complaints.fails(Trouble.THINKING)
            raise
        finally:
            answer.end(interrupted)
            self._mind.answered(answer.text, interrupted)
            self._answered_at_s = self._clock()
            self._last = LastAnswer(
                to=question.identity,
                text=answer.text,
                failed=failed,
                interrupted=interrupted,
                ended_at_s=self._answered_at_s,
            )

    async def _speak(self, turn: Turn, answer: PendingAnswer, question: Question) -> None:
        answer.sources = turn.sources
        answer.begin()
        words = self.thinking.answer(turn.messages(), failed_before(self._last, question))
        async with aclosing(words):  # type: ignore[type-var]
            async for some in words:
                answer.add(some)
                if answer.text and not self.begun:
                    self.begun = True
                    self._word_s.append(self._clock() - question.asked_at_s)
        if not answer.text:
            raise NoAnswer(Trouble.THINKING, None)
        answer.said_all()
        self.answers += 1
        self._complaints.works(Trouble.THINKING)
        if answer.handle is not None and self._mouth is not None:
            await self._mouth.finished(answer.handle)


def _percentiles(name: str, delays_s: Iterable[float]) -> dict[str, float]:
    ordered = sorted(delays_s)
    if not ordered:
        return {}
    return {f"{name}_p50_ms": 1_000 * percentile(ordered, 0.5), f"{name}_p95_ms": 1_000 * percentile(ordered, 0.95)}
