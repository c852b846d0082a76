"""Converses in one room: hears its microphones and its chat, answers who addresses it, is quiet where it must be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from livekit import rtc

from room_agent.audio.microphone import MicrophoneStream
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.tracks import MicrophoneTracks, Source, frames_of
from room_agent.audio.transcripts import HearingCounters, Utterance
from room_agent.audio.tts import SpeechOutput
from room_agent.audio.vad import SpeechDetector
from room_agent.context.context import ContextBuilder
from room_agent.conversation.chat import ChatMessageRead
from room_agent.conversation.notices import Notices, Trouble
from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import AnswerSource, Responder
from room_agent.conversation.transcription import Transcription
from room_agent.core.participants import AbsenceTracker, Participants
from room_agent.core.router_client import HeartbeatResult
from room_agent.core.settings import SpeechSettings
from room_agent.core.tasks import log_task_end
from room_agent.intent.addressee import Addressee, AddresseeSettings, RoomCompany, address
from room_agent.intent.stop_words import asks_to_stop

LOOKS_EVERY_S = 1.0
"""How often it is looked who left: nothing else may happen in the room when somebody has been away for too long."""
CLOSE_TIMEOUT_S = 5.0


class ConversationManager:
    """One room's conversation, from `start` to `aclose`; owns every task it starts. Without a mouth it writes only."""

    def __init__(
        self,
        room: rtc.Room,
        settings: SpeechSettings,
        mind: ContextBuilder,
        thinking: AnswerSource,
        clock: Callable[[], float],
        services: SttServices | None = None,
        mouth: SpeechOutput | None = None,
    ) -> None:
        self._room = room
        self._settings = settings
        self._mind = mind
        self._clock = clock
        self._services = services
        self.mouth = mouth
        self._people, self._absences = Participants(room, clock), AbsenceTracker()
        self._captions = Transcription(room)
        self.complaints = Notices(self._captions, mouth, clock)
        self.answering = Responder(mind, thinking, self._captions, self.complaints, mouth, clock, self._people)
        self._hearing = HearingCounters()
        self._microphones = MicrophoneTracks(settings.max_microphones, self._listen)
        self._tasks: set[asyncio.Task[None]] = set()
        self.not_for_us = 0

    async def start(self) -> None:
        """Take part from now on."""
        if self.mouth is not None:
            self.mouth.on_speaks = self.speaks
            await self.mouth.start(self._room)
            self._own(self._mend(self.mouth))
        self._own(self.answering.run())
        self._own(self._look_again())
        self.follow()

    def follow(self) -> None:
        """Bring the microphones and the questions in line with the room as it is now."""
        if self._services is not None:
            self._microphones.follow(self._room)
        self._look()

    async def aclose(self) -> None:
        """Stop hearing, then speaking; what was sent to a vendor until then is counted when this returns."""
        await self._microphones.aclose()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)
        await self.answering.aclose()
        if self.mouth is not None:
            await self.mouth.aclose()
        await self._mind.knowledge.aclose()
        await self._captions.aclose()

    def beaten(self, beaten: HeartbeatResult) -> None:
        self.complaints.beaten(beaten)

    def report(self) -> dict[str, float]:
        """Return the counts as a heartbeat carries them."""
        self._hearing.microphones = len(self._microphones)
        self._hearing.microphones_refused = self._microphones.refused
        counts: dict[str, float] = {
            "voice_not_for_us": self.not_for_us,
            "voice_captions_lost": self._captions.lost,
        }
        hearing = {f"hearing_{name}": count for name, count in asdict(self._hearing).items()}
        counts |= self.answering.report() | hearing | self.complaints.report()
        return counts | self._mind.knowledge.counts.report()

    # What the microphones tell; see microphone.Listener.

    def voiced(self, identity: str, speech_s: float) -> None:
        self.answering.voiced(identity, speech_s)

    def hearing(self, identity: str, track: str, text: str) -> None:
        self._captions.saying(identity, self._people.name(identity), track, text, self._clock())

    def foretold(self, identity: str, text: str) -> None:
        """Look up what is about to be asked: the search takes as long as the rest of the pause, or longer."""
        if self.answering.free and self._address(identity, text).to_agent:
            self._mind.foresee(text, identity)

    def heard(self, utterance: Utterance) -> None:
        name = self._people.name(utterance.identity)
        self._take(utterance.identity, name, utterance.text, utterance.ended_at_s)
        self._captions.said(utterance.identity, name, utterance.track, utterance.text)

    def written(self, message: ChatMessageRead) -> None:
        self._take(message.identity, self._people.name(message.identity), message.text, message.at_s)

    def hears(self, well: bool) -> None:
        self.complaints.tell(Trouble.HEARING, well)

    def deaf(self) -> bool:
        return self.complaints.unpaid()

    def speaks(self, well: bool) -> None:
        """Take in whether the voice is heard; see mouth."""
        if well:
            self.answering.sounds()
        self.complaints.tell(Trouble.SPEAKING, well)

    async def _listen(self, source: Source) -> None:
        assert self._services is not None
        stream = frames_of(source.track)
        detector = SpeechDetector(self._settings.pause_s)
        microphone = MicrophoneStream(
            source.identity, source.sid, self._services, detector, self, self._hearing, self._clock
        )
        try:
            await microphone.run((event.frame async for event in stream), source.gone)
        finally:
            self._captions.silent(source.sid)
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await stream.aclose()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOKS_EVERY_S)
            self._look()

    async def _mend(self, mouth: SpeechOutput) -> None:
        while True:
            await asyncio.sleep(LOOKS_EVERY_S)
            await mouth.mend()

    def _look(self) -> None:
        """Drop what somebody asked who left; who is only missing may come back to it."""
        for identity in self._absences.left(self._people.missing(self.answering.askers), self._clock()):
            self.answering.left(identity)
        self.answering.look()

    def _take(self, identity: str, name: str, text: str, at_s: float) -> None:
        """Answer what people say or write to the agent, who is away once they are back; remember the rest."""
        # Whoever waits for an answer's first word follows up what they asked; to call another or to mumble does not.
        verdict = self._address(identity, text)
        to_agent = not self._people.is_agent(identity) and verdict.to_agent
        if to_agent and asks_to_stop(text, self._settings.names):
            self._be_quiet(identity, verdict.why == "called by name")
        elif to_agent:
            if self._people.missing({identity}):
                # They may not be back to be answered; what they asked is known to the others' answers either way.
                self._mind.said(name, text)
            self.answering.take(Question(identity=identity, name=name, text=text, asked_at_s=at_s))
        else:
            self.not_for_us += 1
            self._mind.said(name, text)

    def _be_quiet(self, identity: str, called: bool) -> None:
        """Stop for somebody. Who only waits for their turn, and did not call the agent, has that dropped, no more."""
        waited = self.answering.waits_since_s(identity) is not None
        self.answering.forget(identity)
        if called or not waited:
            self.answering.interrupt()

    def _address(self, identity: str, text: str) -> Addressee:
        answered, answered_at_s = self.answering.answered
        company = RoomCompany(
            people=self._people.all(),
            gone=self._people.gone(),
            answered=answered,
            answered_at_s=answered_at_s,
            waits_since_s=self.answering.waits_since_s(identity),
        )
        return address(text, identity, company, self._clock(), AddresseeSettings(names=self._settings.names))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="voice")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_task_end)
