"""Answers a room's questions one at a time, in writing and speech, and stops an answer that is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from contextlib import aclosing

import structlog

from room_agent.audio.tts import SpeechOutput
from room_agent.context.context import ContextBuilder
from room_agent.context.prompt import Turn
from room_agent.conversation.last_answer import LastAnswer, failed_before
from room_agent.conversation.llm import NoAnswer, RouterLlm
from room_agent.conversation.notices import Notices, Trouble
from room_agent.conversation.pending_answer import PendingAnswer
from room_agent.conversation.question_queue import Question, QuestionQueue
from room_agent.conversation.tool_turns import ToolTurns
from room_agent.conversation.transcription import Transcription
from room_agent.conversation.turn_notes import turn_messages
from room_agent.core.counters import Delays
from room_agent.core.tasks import log_task_end
from room_agent.intent.silence import words_unless_silent
from room_agent.records.recorder import MeetingRecorder
from routing.telemetry.current_request import current_request_id, new_request
from routing.telemetry.tracing import task_span

MAX_ANSWER_S = 180.0
INTERRUPTION_S = 0.4
"""The speech of the asker that stops their answer: a cough is shorter."""
CLOSE_TIMEOUT_S = 5.0
LAST_ANSWER_TIMEOUT_S = 6.0
"""The time that an answer has to end before its agent hands the room over."""

log = structlog.get_logger()


class Responder:
    """One room's answers, from `run` to `aclose`. Without a speech output they are only written."""

    def __init__(
        self,
        context: ContextBuilder,
        llm: RouterLlm,
        transcription: Transcription,
        notices: Notices,
        speech_output: SpeechOutput | None,
        clock: Callable[[], float],
        present: Container[str],
        recorder: MeetingRecorder | None = None,
        tools: ToolTurns | None = None,
    ) -> None:
        self.tools = tools or ToolTurns(llm, None, transcription, clock)
        self.queue = QuestionQueue()
        self.question: Question | None = None
        """The question that is being answered."""
        self.has_begun = False
        """Whether the answer has its first word."""
        self.answers = self.interruptions = self.silent = 0
        self._context = context
        self._transcription = transcription
        self._notices = notices
        self._speech_output = speech_output
        self._clock = clock
        self._present = present
        self._recorder = recorder
        self._task: asyncio.Task[None] | None = None
        self._answered_identity: str | None = None
        self._answered_at_s = 0.0
        self._last: LastAnswer | None = None
        self._first_words, self._first_sounds = Delays(), Delays()

    async def run(self) -> None:
        """Answer question after question, until cancelled."""
        while True:
            question = await self.queue.next(self._present)
            if Trouble.BUDGET in self._notices:
                continue
            self.question, self.has_begun = question, False
            if not question.unsure:
                self._answered_identity = question.identity
            # A task of its own, so that an interruption cancels the answer and not this loop.
            self._task = asyncio.create_task(self._answer_request(question), name="answer")
            try:
                await asyncio.wait({self._task}, timeout=MAX_ANSWER_S)
            finally:
                self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT_S)
            log_task_end(self._task)
            self.question = None

    async def open_questions(self) -> list[Question]:
        """Take the questions that wait. The answer that has begun may end; if it does not, its question comes first.

        Unsure ones are dropped: they are not worth a second call.
        """
        waiting = [question for question in self.queue.take_all() if not question.unsure]
        current, task = self.question, self._task
        if current is None or task is None:
            return waiting
        if self.has_begun:
            await asyncio.wait({task}, timeout=LAST_ANSWER_TIMEOUT_S)
        return waiting if task.done() or (current.unsure and not self.has_begun) else [current, *waiting]

    async def aclose(self) -> None:
        """Cancel the current answer and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT_S)

    @property
    def is_speaking(self) -> bool:
        """Return whether an answer is being written or spoken."""
        return self.question is not None and self.has_begun

    @property
    def is_free(self) -> bool:
        """Return whether no participant waits for the first word of an answer."""
        return (self.question is None or self.has_begun) and not len(self.queue)

    @property
    def answered(self) -> tuple[str | None, float | None]:
        """Return the identity that the last answer was for, and the time of its end: now, while it goes on."""
        if self._answered_identity is None:
            return None, None
        goes_on = self.question is not None and self.question.identity == self._answered_identity
        return self._answered_identity, self._clock() if goes_on else self._answered_at_s

    def waits_since_s(self, identity: str) -> float | None:
        """Return the time of a participant's question whose answer has not begun; None without one that is sure."""
        current = self.question
        is_current = current is not None and current.identity == identity and not self.has_begun
        question = current if is_current else self.queue.get(identity)
        return question.asked_at_s if question is not None and not question.unsure else None

    @property
    def askers(self) -> set[str]:
        """Return the identities that wait for an answer, are being answered, or may agree to a proposed call."""
        current = {self.question.identity} if self.question is not None else set()
        return self.queue.waiting | current | self.tools.confirmation.awaited

    def ask(self, question: Question) -> None:
        """Queue a question. A newer question of the participant who is being answered stops that answer."""
        current = self.question
        if current is None or current.identity != question.identity:
            self.queue.offer(question)
            return
        had_begun = self.has_begun
        self.interrupt()
        if had_begun:
            self.queue.offer(question)
        else:
            # They went on speaking before the first word of the answer: both texts are one question.
            self.queue.join(current, question)

    def on_speech(self, identity: str, speech_s: float) -> None:
        """Interrupt the answer when its asker has been speaking for `INTERRUPTION_S` (barge-in)."""
        is_asker = self.question is not None and self.question.identity == identity
        if is_asker and self.has_begun and speech_s >= INTERRUPTION_S:
            self.interrupt()

    def on_playback_started(self) -> None:
        """Record the delay from the question to the first sound of its answer."""
        if self.question is not None and self.has_begun:
            self._first_sounds.add(self._clock() - self.question.asked_at_s)

    def on_left(self, identity: str) -> None:
        """Drop the question of a participant who left, and stop its answer."""
        self.queue.drop(identity)
        self.tools.confirmation.on_left(identity)
        if self.question is not None and self.question.identity == identity:
            self.interrupt()

    def interrupt(self) -> None:
        """Stop the current answer: its LLM request, its transcript and its speech."""
        if self._task is not None and not self._task.done() and self.question is not None:
            self.interruptions += 1
            self.question = None
            self._task.cancel()
            if self._speech_output is not None:
                self._speech_output.interrupt()

    def report(self) -> dict[str, float]:
        """Return the counters and delays of a heartbeat."""
        counts: dict[str, float] = {
            "voice_answers": self.answers,
            "voice_interruptions": self.interruptions,
            "voice_silent": self.silent,
            "voice_questions_shed": self.queue.shed,
            "voice_first_sounds": self._first_sounds.count,
            "voice_first_sound_ms": round(1_000 * self._first_sounds.total_s),
        }
        word = self._first_words.percentiles("voice_first_word")
        return counts | word | self._first_sounds.percentiles("voice_first_sound")

    async def _answer_request(self, question: Question) -> None:
        with new_request():
            await self._answer(question)

    async def _answer(self, question: Question) -> None:
        answer = PendingAnswer(self._transcription, question, self._speech_output)
        # Cancellation reaches `finally` without passing an `except` below, so it is the default.
        interrupted, failed = True, False
        try:
            with task_span("question") as span:
                span.set(rayroom__request_id=current_request_id())
                turn = await self._context.turn(
                    question.text, question.name, question.identity, searches=question.simple
                )
                self._context.add_remark(question.name, question.text)
                await self._speak(turn, answer, question)
            interrupted = False
        except NoAnswer as error:
            interrupted, failed = False, True
            log.warning("answer failed", trouble=str(error.trouble), status=error.http_status)
            self._announce(error.trouble, answer, question)
        except Exception:
            # The asker is told whatever the error is; `run` logs it.
            interrupted, failed = False, True
            self._announce(Trouble.THINKING, answer, question)
            raise
        finally:
            answer.end(interrupted)
            self.tools.confirmation.on_answer_ended(not interrupted and not failed, self._clock())
            self._context.answered(answer.text, interrupted)
            if answer.text or not question.may_be_silent or (failed and not question.unsure):
                self._ended(answer, question, interrupted, failed)

    def _ended(self, answer: PendingAnswer, question: Question, interrupted: bool, failed: bool) -> None:
        """Note an answer that was asked for, or was given."""
        self._answered_at_s = self._clock()
        took_s = self._answered_at_s - question.asked_at_s
        log.info("question answered", took_s=round(took_s, 3), interrupted=interrupted, failed=failed)
        if self._recorder is not None and (answer.text or failed):
            self._recorder.add_answer(
                question.identity,
                question.name,
                answer.text,
                answer.sources,
                took_s,
                interrupted=interrupted,
                failed=failed,
            )
        self._last = LastAnswer(
            to=question.identity,
            text=answer.text,
            failed=failed,
            interrupted=interrupted,
            ended_at_s=self._answered_at_s,
        )

    def _announce(self, trouble: Trouble, answer: PendingAnswer, question: Question) -> None:
        """Announce that an answer failed; the room need not know of one that nobody may have asked for."""
        if answer.text or not question.unsure:
            self._notices.failed(trouble)

    async def _speak(self, turn: Turn, answer: PendingAnswer, question: Question) -> None:
        answer.sources = turn.sources
        if not question.simple:
            # In a meeting a doubtful answer opens no speech before its first word; a person alone is mostly answered.
            answer.begin()
        failed, messages = failed_before(self._last, question), turn_messages(turn, question)
        tokens = self.tools.answer(messages, turn.key, question, failed)
        if question.may_be_silent:
            tokens = words_unless_silent(tokens)
        # Closed at once on cancellation: only that cancels the request at the router.
        async with aclosing(tokens):  # type: ignore[type-var]
            async for words in tokens:
                answer.add(words)
                if answer.text and not self.has_begun:
                    self.has_begun, self._answered_identity = True, question.identity
                    self._first_words.add(self._clock() - question.asked_at_s)
        answer.sources = tuple(dict.fromkeys([*turn.sources, *self.tools.sources]))
        if not answer.text and question.may_be_silent:
            self.silent += 1
            return
        if not answer.text:
            raise NoAnswer(Trouble.THINKING, None)
        answer.finish_speech()
        self.answers += 1
        self._notices.recovered(Trouble.THINKING)
        if answer.handle is not None and self._speech_output is not None:
            await self._speech_output.wait_until_played(answer.handle)
