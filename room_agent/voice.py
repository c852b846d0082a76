"""Converses in one room: hears its microphones and its chat, answers who addresses it, is quiet where it must be."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Protocol

import structlog
from livekit import rtc
from livekit.agents import inference

from room_agent.address import Address, AddressSettings, Company, Person, address
from room_agent.answer import Answer
from room_agent.captions import Captions
from room_agent.chat import TOPIC, Chat
from room_agent.conversation import Turn
from room_agent.counters import REMEMBERED_ANSWERS, percentile
from room_agent.fence import clean_name
from room_agent.hearing import Services
from room_agent.microphone import HearingCounters, Microphone, Utterance, whole_windows_s
from room_agent.microphones import Microphones, Source, frames_of
from room_agent.mind import Mind
from room_agent.mouth import Mouth
from room_agent.router_client import Beaten
from room_agent.settings import SpeechSettings
from room_agent.thinking import NoAnswer
from room_agent.troubles import ALOUD, Trouble, Troubles
from room_agent.turns import Question, Turns, asks_to_stop

LONGEST_ANSWER_S = 180.0
INTERRUPTS_S = 0.4
"""How long the person who is being answered has to speak to stop the answer: a cough is shorter."""
UNBILLED_S = 60.0
"""Without a heartbeat for so long nothing more is heard: it could not be billed if this process died."""
BUDGET_AGAIN_S = 60.0
MOST_READING = 32

log = structlog.get_logger()


class Thinks(Protocol):
    """Who finds the words."""

    def answer(self, messages: list[dict[str, Any]]) -> AsyncIterator[str]: ...


class Voice:
    """One room's conversation, from `start` to `aclose`; owns every task it starts. Without a mouth it writes only."""

    def __init__(
        self,
        room: rtc.Room,
        settings: SpeechSettings,
        mind: Mind,
        thinking: Thinks,
        clock: Callable[[], float],
        services: Services | None = None,
        mouth: Mouth | None = None,
    ) -> None:
        self._room = room
        self._settings = settings
        self._mind = mind
        self._thinking = thinking
        self._clock = clock
        self._services = services
        self.mouth = mouth
        silent_s = whole_windows_s(settings.pause_s)
        self._vad = inference.VAD(model="silero", min_silence_duration=silent_s) if services else None
        self._captions = Captions(room)
        self._chat = Chat()
        self._turns = Turns()
        self._troubles = Troubles()
        self._hearing = HearingCounters()
        self._microphones = Microphones(settings.max_microphones, self._listen)
        self._tasks: set[asyncio.Task[None]] = set()
        self._question: Question | None = None
        self._answering: asyncio.Task[None] | None = None
        self._begun = False
        self._answered: str | None = None
        self._answered_at_s = 0.0
        self._beaten_at_s = clock()
        self._spent_at_s: float | None = None
        self.answers = self.interruptions = self.not_for_us = 0
        self._word_s: deque[float] = deque(maxlen=REMEMBERED_ANSWERS)
        self._sound_s: deque[float] = deque(maxlen=REMEMBERED_ANSWERS)

    async def start(self) -> None:
        """Take part from now on."""
        if self.mouth is not None:
            self.mouth.on_speaks = self.speaks
            await self.mouth.start(self._room)
        self._room.register_text_stream_handler(TOPIC, self._on_chat)
        self._own(self._answer_all())
        self.follow()

    def follow(self) -> None:
        """Bring the microphones in line with the room as it is now."""
        if self._services is not None:
            self._microphones.follow(self._room)
        gone = self._question is not None and self._question.identity not in self._room.remote_participants
        if gone and self._question is not None:
            self._turns.drop(self._question.identity)
            self._interrupt()

    async def aclose(self) -> None:
        """Stop hearing, then speaking; what was sent to a vendor until then is counted when this returns."""
        self._room.unregister_text_stream_handler(TOPIC)
        await self._microphones.aclose()
        tasks = {*self._tasks, *({self._answering} if self._answering else ())}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)
        if self.mouth is not None:
            await self.mouth.aclose()
        await self._mind.knowledge.aclose()
        await self._captions.aclose()

    def beaten(self, beaten: Beaten) -> None:
        """Take in what the router answered to a heartbeat."""
        self._beaten_at_s = self._clock()
        if beaten.budget is not None and beaten.budget.is_spent:
            self._fails(Trouble.BUDGET)
        elif beaten.budget is not None or self._waited_for_budget():
            self._works(Trouble.BUDGET)

    def report(self) -> dict[str, float]:
        """Return the counts as a heartbeat carries them."""
        self._hearing.microphones = len(self._microphones)
        self._hearing.microphones_refused = self._microphones.refused
        counts: dict[str, float] = {
            "voice_answers": self.answers,
            "voice_interruptions": self.interruptions,
            "voice_not_for_us": self.not_for_us,
            "voice_questions_shed": self._turns.shed,
            "voice_captions_lost": self._captions.lost,
        }
        hearing = {f"hearing_{name}": count for name, count in asdict(self._hearing).items()}
        troubles = {f"trouble_{trouble}": times for trouble, times in self._troubles.begun.items()}
        counts |= _percentiles("voice_first_word", self._word_s) | _percentiles("voice_first_sound", self._sound_s)
        return counts | hearing | troubles | self._chat.counts.report() | self._mind.knowledge.counts.report()

    # What the microphones tell; see microphones.Listener.

    def voiced(self, identity: str, speech_s: float) -> None:
        asked = self._question
        if asked is not None and self._begun and asked.identity == identity and speech_s >= INTERRUPTS_S:
            self._interrupt()

    def foretold(self, identity: str, text: str) -> None:
        """Look up what is about to be asked: the search takes as long as the rest of the pause, or longer."""
        if self._question is None and not len(self._turns) and self._address(identity, text).to_agent:
            self._mind.foresee(text)

    def heard(self, utterance: Utterance) -> None:
        name = self._name(utterance.identity)
        self._captions.said(utterance.identity, name, utterance.track, utterance.text)
        self._take(utterance.identity, name, utterance.text, utterance.ended_at_s)

    def hears(self, well: bool) -> None:
        if well:
            self._works(Trouble.HEARING)
        else:
            self._fails(Trouble.HEARING)

    def deaf(self) -> bool:
        if self._clock() - self._beaten_at_s > UNBILLED_S:
            self._fails(Trouble.THINKING)
            return True
        return Trouble.BUDGET in self._troubles

    def speaks(self, well: bool) -> None:
        """Take in whether the voice is heard; see mouth."""
        if well:
            if self._question is not None and self._begun:
                self._sound_s.append(self._clock() - self._question.asked_at_s)
            self._works(Trouble.SPEAKING)
        else:
            self._fails(Trouble.SPEAKING)

    async def _listen(self, source: Source) -> None:
        assert self._services is not None and self._vad is not None
        stream = frames_of(source.track)
        microphone = Microphone(
            source.identity, source.sid, self._services, self._vad, self, self._hearing, self._clock
        )
        try:
            await microphone.run(event.frame async for event in stream)
        finally:
            async with asyncio.timeout(5.0):
                await stream.aclose()

    def _on_chat(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if len(self._tasks) > MOST_READING:
            reader.close()
            return
        self._own(self._read(reader, identity))

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        verdict = await self._chat.receive(reader, identity, self._clock())
        if verdict.taken:
            self._take(identity, self._name(identity), verdict.text, self._clock())

    def _take(self, identity: str, name: str, text: str, at_s: float) -> None:
        """Answer what is said or written to the agent; remember the rest."""
        verdict = self._address(identity, text)
        question = Question(identity=identity, name=name, text=text, asked_at_s=at_s)
        asked = self._question
        mine = asked is not None and asked.identity == identity
        if verdict.to_agent and asks_to_stop(text, self._settings.names):
            self._turns.drop(identity)
            self._interrupt()
        elif mine and asked is not None and not self._begun:
            # They went on speaking before a word was answered: it is one question.
            self._interrupt()
            self._turns.join(asked.text, question)
        elif verdict.to_agent:
            if mine:
                self._interrupt()
            self._turns.offer(question)
        else:
            self.not_for_us += 1
            self._mind.said(name, text)

    def _address(self, identity: str, text: str) -> Address:
        company = Company(people=self._people(), answered=self._answered, answered_at_s=self._last_answer_s())
        return address(text, identity, company, self._clock(), AddressSettings(names=self._settings.names))

    async def _answer_all(self) -> None:
        while True:
            question = await self._turns.next()
            if Trouble.BUDGET in self._troubles:
                continue
            self._question, self._begun = question, False
            self._answering = asyncio.create_task(self._answer(question), name="answer")
            try:
                await asyncio.wait({self._answering}, timeout=LONGEST_ANSWER_S)
            finally:
                self._answering.cancel()
            await asyncio.wait({self._answering}, timeout=5.0)
            _say_why_it_failed(self._answering)
            self._question = None

    async def _answer(self, question: Question) -> None:
        self._answered = question.identity
        answer = Answer(self._captions, question, self.mouth)
        interrupted = True
        try:
            turn = await self._mind.turn(question.text, question.name)
            self._mind.said(question.name, question.text)
            await self._speak(turn, answer, question)
            interrupted = False
        except NoAnswer as error:
            interrupted = False
            log.warning("no answer", trouble=str(error.trouble), status=error.answered_with)
            self._fails(error.trouble)
        finally:
            answer.end(interrupted)
            self._mind.answered(answer.text, interrupted)
            self._answered_at_s = self._clock()

    async def _speak(self, turn: Turn, answer: Answer, question: Question) -> None:
        answer.sources = turn.sources
        async with aclosing(self._thinking.answer(turn.messages())) as words:  # type: ignore[type-var]
            async for some in words:
                if not self._begun:
                    self._begun = True
                    self._word_s.append(self._clock() - question.asked_at_s)
                answer.add(some)
        answer.said_all()
        self.answers += 1
        self._works(Trouble.THINKING)
        if answer.handle is not None and self.mouth is not None:
            await self.mouth.finished(answer.handle)

    def _interrupt(self) -> None:
        if self._answering is not None and not self._answering.done() and self._question is not None:
            self.interruptions += 1
            self._question = None
            self._answering.cancel()
            if self.mouth is not None:
                self.mouth.hush()

    def _fails(self, trouble: Trouble) -> None:
        said = self._troubles.begin(trouble)
        if trouble is Trouble.BUDGET and said:
            self._spent_at_s = self._clock()
        if said:
            self._captions.told(said)
            if trouble in ALOUD and self.mouth is not None:
                self.mouth.say(said)

    def _works(self, trouble: Trouble) -> None:
        if self._troubles.end(trouble):
            log.info("works again", part=str(trouble))

    def _waited_for_budget(self) -> bool:
        """Whether a budget that only a refusal told of has rested long enough to be asked for again."""
        return self._spent_at_s is not None and self._clock() - self._spent_at_s > BUDGET_AGAIN_S

    def _last_answer_s(self) -> float | None:
        if self._answered is None:
            return None
        return self._clock() if self._question is not None else self._answered_at_s

    def _people(self) -> list[Person]:
        agent = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        people = [one for one in self._room.remote_participants.values() if one.kind != agent]
        return [Person(identity=one.identity, name=one.name) for one in people]

    def _name(self, identity: str) -> str:
        participant = self._room.remote_participants.get(identity)
        return clean_name((participant.name if participant is not None else "") or identity)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="voice")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_say_why_it_failed)


def _percentiles(name: str, delays_s: Iterable[float]) -> dict[str, float]:
    ordered = sorted(delays_s)
    if not ordered:
        return {}
    return {f"{name}_p50_ms": 1_000 * percentile(ordered, 0.5), f"{name}_p95_ms": 1_000 * percentile(ordered, 0.95)}


def _say_why_it_failed(task: asyncio.Task[None]) -> None:
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        log.error("a task of the conversation failed", task=task.get_name(), error=type(error).__name__)
