"""Runs one room's conversation: transcribes its microphones, finds the addressee, and passes questions on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict

from livekit import rtc

from room_agent.audio.microphone import MicrophoneStream
from room_agent.audio.stt_stream import SttServices
from room_agent.audio.tracks import MicrophoneTrack, MicrophoneTracks, audio_stream
from room_agent.audio.transcripts import SttCounters, Utterance
from room_agent.audio.tts import SpeechOutput
from room_agent.audio.turn_model import load_turn_model
from room_agent.audio.vad import SpeechDetector
from room_agent.context.context import ContextBuilder
from room_agent.conversation.chat import ReceivedMessage
from room_agent.conversation.hand_over import OpenQuestion
from room_agent.conversation.llm import RouterLlm
from room_agent.conversation.notices import Notices, Trouble
from room_agent.conversation.question_queue import Question
from room_agent.conversation.responder import Responder
from room_agent.conversation.tool_turns import ToolTurns
from room_agent.conversation.transcription import Transcription
from room_agent.conversation.unsure_turns import UnsureTurns
from room_agent.core.participants import AbsenceTracker, Participants
from room_agent.core.settings import SpeechSettings
from room_agent.core.tasks import OwnedTasks
from room_agent.intent.addressee import AddresseeContext, find_addressee, names_agent
from room_agent.intent.stop_words import asks_agent_to_stop, asks_to_stop
from room_agent.records.recorder import MeetingRecorder
from routing.models import TenantAgent

CHECK_EVERY_S = 1.0
"""The interval of the check for participants who left: their time runs out without any event in the room."""
CLOSE_TIMEOUT_S = 5.0


class ConversationManager:
    """One room's conversation, from `start` to `aclose`. Without a speech output answers are only written."""

    def __init__(
        self,
        room: rtc.Room,
        settings: SpeechSettings,
        context: ContextBuilder,
        llm: RouterLlm,
        clock: Callable[[], float],
        services: SttServices | None,
        speech_output: SpeechOutput | None,
        agent: TenantAgent,
        recorder: MeetingRecorder | None = None,
        tools: ToolTurns | None = None,
    ) -> None:
        self._room = room
        self._recorder = recorder
        self._greeting = agent.greeting
        self._settings = settings
        self._context = context
        self._clock = clock
        self._services = services
        self._participants, self._absences = Participants(room, clock), AbsenceTracker()
        self._transcription = Transcription(room)
        self._stt_counters = SttCounters()
        self._microphones = MicrophoneTracks(settings.max_microphones, self._transcribe)
        self._tasks = OwnedTasks()
        self._not_addressed = 0
        self._unsure = UnsureTurns()
        self.speech_output = speech_output
        self.notices = Notices(self._transcription, speech_output if agent.speaks_unasked else None, clock)
        self.responder = Responder(
            context,
            llm,
            self._transcription,
            self.notices,
            speech_output,
            clock,
            self._participants,
            recorder,
            tools,
        )

    async def start(self) -> None:
        """Take part in the conversation from now on."""
        if self.speech_output is not None:
            self.speech_output.on_available = self._on_tts_available
            await self.speech_output.start(self._room)
            self._tasks.start(self._restart_speech(self.speech_output), "conversation")
        self._tasks.start(self.responder.run(), "conversation")
        self._tasks.start(self._check_absences(), "conversation")
        self.follow()

    def restore(self, questions: Iterable[OpenQuestion]) -> None:
        """Answer the questions that a predecessor left open."""
        for one in questions:
            asked_at_s = self._clock() - one.waited_s
            self.responder.ask(Question(identity=one.identity, name=one.name, text=one.text, asked_at_s=asked_at_s))

    async def open_questions(self) -> list[OpenQuestion]:
        """Return the questions that a successor is to answer; none is answered here any more."""
        questions = await self.responder.open_questions()
        return [
            OpenQuestion(identity=one.identity, name=one.name, text=one.text, waited_s=self._clock() - one.asked_at_s)
            for one in questions
        ]

    def follow(self) -> None:
        """Bring microphones and waiting questions in line with the room as it is now."""
        if self._services is not None:
            self._microphones.follow(self._room)
        self._drop_absent()
        self._greet()

    async def aclose(self) -> None:
        """Stop STT, then answers and TTS. All usage of vendors is counted when this returns."""
        await self._microphones.aclose()
        await self._tasks.aclose(CLOSE_TIMEOUT_S)
        await self.responder.aclose()
        await self.responder.tools.aclose()
        if self.speech_output is not None:
            await self.speech_output.aclose()
        await self._context.knowledge.aclose()
        await self._transcription.aclose()

    def report(self) -> dict[str, float]:
        """Return the counters of a heartbeat."""
        self._stt_counters.microphones = len(self._microphones)
        self._stt_counters.microphones_refused = self._microphones.refused
        counts: dict[str, float] = {
            "voice_not_for_us": self._not_addressed,
            "voice_captions_lost": self._transcription.lost,
        }
        counts |= {f"hearing_{name}": count for name, count in asdict(self._stt_counters).items()}
        counts |= self._unsure.report() | self.responder.tools.report()
        return counts | self.responder.report() | self.notices.report() | self._context.knowledge.counts.report()

    # The microphones call these; see transcripts.TranscriptListener.

    def on_speech(self, identity: str, speech_s: float) -> None:
        """Interrupt the answer that the speaker is being given, where they have been speaking for long enough."""
        self.responder.on_speech(identity, speech_s)

    def on_partial(self, identity: str, track: str, text: str) -> None:
        """Publish a partial transcript."""
        self._transcription.partial(identity, self._participants.name(identity), track, text, self._clock())

    def on_stable_partial(self, identity: str, text: str) -> None:
        """Start retrieval before the question is complete: a search takes as long as the rest of the pause."""
        if not self.responder.is_free:
            return
        context = self._addressee_context(identity)
        address = find_addressee(text, identity, context, self._clock(), self._settings.names)
        # The marks of a question come with its end only, and a person alone is mostly answered.
        if address == "addressed" or (address == "unsure" and context.is_alone(identity)):
            self._context.prefetch(text, identity)

    def on_final(self, utterance: Utterance) -> None:
        """Publish a final transcript, and answer it if it addresses the agent."""
        name = self._participants.name(utterance.identity)
        # Where Deepgram detects none it repeats its setting.
        detected = self._settings.detects_language and utterance.language != self._settings.language
        language = utterance.language if detected else ""
        if self._recorder is not None:
            self._recorder.add_utterance(utterance.identity, name, utterance.text, "speech")
        self._receive(utterance.identity, name, utterance.text, utterance.ended_at_s, language, spoken=True)
        self._transcription.final(utterance.identity, name, utterance.track, utterance.text)

    def on_stt_available(self, available: bool) -> None:
        """Announce that STT fails, or end that notice."""
        self.notices.update(Trouble.HEARING, available)

    def is_stt_paused(self) -> bool:
        """Return whether no speech may be sent to STT, because it cannot be billed."""
        return self.notices.is_unpaid()

    def on_chat_message(self, message: ReceivedMessage) -> None:
        """Answer a chat message if it addresses the agent."""
        name = self._participants.name(message.identity)
        if self._recorder is not None:
            self._recorder.add_utterance(message.identity, name, message.text, "chat")
        self._receive(message.identity, name, message.text, message.received_at_s)

    def _on_tts_available(self, available: bool) -> None:
        if available:
            self.responder.on_playback_started()
        self.notices.update(Trouble.SPEAKING, available)

    async def _transcribe(self, microphone: MicrophoneTrack) -> None:
        assert self._services is not None
        audio = audio_stream(microphone.track)
        try:
            stream = MicrophoneStream(
                microphone.identity,
                microphone.sid,
                self._services,
                SpeechDetector(self._settings.pause_s),
                self,
                self._stt_counters,
                self._clock,
                turn_model=await load_turn_model(self._settings),
            )
            await stream.run((event.frame async for event in audio), microphone.ended)
        finally:
            self._transcription.withdraw(microphone.sid)
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await audio.aclose()

    async def _check_absences(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            self._drop_absent()

    async def _restart_speech(self, speech_output: SpeechOutput) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            await speech_output.restart_if_unpublished()

    def _greet(self) -> None:
        """Greet the first person who is there, once, unless the budget is spent."""
        if self._greeting and self._participants.all():
            greeting, self._greeting = self._greeting, ""
            self.notices.announce(greeting)

    def _drop_absent(self) -> None:
        """Drop questions of participants who left. One who is only missing may reconnect and get the answer."""
        missing = self._participants.missing(self.responder.askers)
        for identity in self._absences.left(missing, self._clock()):
            self.responder.on_left(identity)
        # A participant may have come back, and their question waits for that.
        self.responder.queue.wake()

    def _receive(
        self, identity: str, name: str, text: str, at_s: float, language: str = "", *, spoken: bool = False
    ) -> None:
        """Answer a text that addresses the agent, and add any other to the context."""
        context = self._addressee_context(identity)
        address = find_addressee(text, identity, context, self._clock(), self._settings.names)
        called_to_stop = asks_agent_to_stop(text, self._settings.names)
        confirmed = self.responder.tools.confirmation.take(identity, text, self._clock())
        if confirmed is not None:
            address, called_to_stop = "addressed", False
        named = names_agent(text, self._settings.names)
        # Agents are never answered: two of them could go on without end.
        if self._participants.is_agent(identity):
            address, called_to_stop = "not addressed", False
        elif confirmed is None and spoken and named and self._cuts_in(text, context):
            # Most of these want it to wait. It stops, and a model decides whether there is anything to say.
            self.responder.interrupt()
            address = "unsure"
        is_meant = address != "not addressed" or self.responder.is_speaking
        # A person alone is the only one who can be meant: neither the model nor the limit is that of a meeting.
        alone = context.is_alone(identity)
        if confirmed is None and (called_to_stop or (is_meant and asks_to_stop(text, self._settings.names))):
            self._stop(identity, called_to_stop)
        elif address == "addressed" or (address == "unsure" and (alone or self._unsure.admits(self._clock()))):
            if self._participants.missing({identity}):
                # They may not come back for the answer, but their text belongs to the context of other answers.
                self._context.add_remark(name, text)
            self.responder.ask(
                Question(
                    identity=identity,
                    name=name,
                    text=text,
                    asked_at_s=at_s,
                    unsure=address == "unsure",
                    # Somebody alone may be on the phone, or talk to themselves.
                    may_be_silent=confirmed is None and (address == "unsure" or (alone and not named)),
                    simple=address == "unsure" and not alone,
                    language=language,
                    confirmed=confirmed,
                )
            )
        else:
            self._not_addressed += 1
            self._context.add_remark(name, text)

    def _cuts_in(self, text: str, context: AddresseeContext) -> bool:
        """Return whether a text with the agent's name, in mid-answer, asks nothing and is no rest of a question."""
        return self.responder.is_speaking and context.waits_since_s is None and "?" not in text

    def _stop(self, identity: str, called: bool) -> None:
        """Stop the answer. A participant who only waits, and did not call the agent, drops just their own question."""
        was_waiting = self.responder.queue.get(identity) is not None
        self.responder.queue.drop(identity)
        if called or not was_waiting:
            self.responder.interrupt()

    def _addressee_context(self, identity: str) -> AddresseeContext:
        answered, answered_at_s = self.responder.answered
        return AddresseeContext(
            people=self._participants.all(),
            former=self._participants.former(),
            answered=answered,
            answered_at_s=answered_at_s,
            waits_since_s=self.responder.waits_since_s(identity),
        )
