"""Speaks in a room through livekit's AgentSession: text in, the voice's track out. Hears nothing, decides nothing.

The session has no speech-to-text, no detector and no model here. A meeting has many microphones and it would link one;
a reply of its own would be cut short where its voice fails, and there the text has to go on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, APIError, ModelSettings, tts
from livekit.agents.voice import SpeechHandle, room_io
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.events import AgentStateChangedEvent, CloseEvent
from livekit.agents.voice.room_io import RoomIO
from livekit.agents.voice.turn import TurnHandlingOptions

log = structlog.get_logger()

COMES_WITHIN_S = 3.0
"""How long the first words wait for the first subscriber: who has just joined has not subscribed yet."""


class VoiceSubscribers:
    """Those who hear one session's track. What is said to nobody would wait for somebody, and be paid for."""

    def __init__(self, io: RoomIO, room: rtc.Room, clock: Callable[[], float]) -> None:
        self._io = io
        self._room = room
        self._clock = clock
        self._awaited_until_s: float | None = None

    @property
    def hears(self) -> bool:
        """Whether somebody has subscribed to the track."""
        subscribed = self._io.subscribed_fut
        return subscribed is not None and subscribed.done()

    @property
    def lost(self) -> bool:
        """Whether there are people for whom the track was not published: a session tries that once."""
        # Nothing public of it says that it has ended: who waits for it to be ready waits for ever.
        began = self._io._init_atask
        return not self.hears and began is not None and began.done() and self._people

    @property
    def may_hear(self) -> bool:
        """Whether somebody hears, or may from one moment to the next since nobody was waited for before."""
        if self.hears or not self._people:
            return self.hears
        return self._awaited_until_s is None or self._clock() < self._awaited_until_s

    async def comes(self) -> bool:
        """Wait a moment, once, for the first subscriber; return whether there is one."""
        subscribed = self._io.subscribed_fut
        if not self.hears and subscribed is not None:
            now_s = self._clock()
            self._awaited_until_s = self._awaited_until_s or now_s + COMES_WITHIN_S
            await asyncio.wait({subscribed}, timeout=max(0.0, self._awaited_until_s - now_s))
        return self.hears

    @property
    def _people(self) -> bool:
        return self._room.isconnected() and bool(self._room.remote_participants)


VOICE_TIMEOUT_S = 5.0
REST_S = 10.0
"""How long a voice that failed is not tried again."""
CLOSE_TIMEOUT_S = 5.0
LONGEST_SPEECH_S = 180.0


class _Speaker(Agent):
    """Lets a failure end the speech and no more: the voice's own event tells of it, and its message quotes the text."""

    def __init__(self, is_heard: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(instructions="")
        self._is_heard = is_heard

    async def tts_node(self, text: AsyncIterable[str], model_settings: ModelSettings) -> AsyncIterator[rtc.AudioFrame]:
        if not await self._is_heard():
            return
        try:
            async for frame in Agent.default.tts_node(self, _encodable(text), model_settings):
                yield frame
        except APIError:
            return


async def _encodable(text: AsyncIterable[str]) -> AsyncIterator[str]:
    """Yield the text without lone surrogates: no vendor can be sent one, and its count would not be ours."""
    async for piece in text:
        yield piece.encode(errors="ignore").decode()


class SpeechOutput:
    """One room's voice, from `start` to `aclose`."""

    def __init__(self, voices: Sequence[tts.TTS[Any]], clock: Callable[[], float]) -> None:
        self._voices = list(voices)
        # The next voice takes over where one fails, with the whole text; a failed one is tried again beside it.
        self._voice: tts.TTS[Any] = (
            self._voices[0] if len(voices) == 1 else tts.FallbackAdapter(self._voices, max_retry_per_tts=0)
        )
        self.on_speaks: Callable[[bool], None] = lambda _: None
        self._clock = clock
        self._rests_until_s = self._mends_from_s = -1.0
        self._session: AgentSession[None] | None = None
        self._room: rtc.Room | None = None
        self._audience: VoiceSubscribers | None = None
        self._voice.on("error", self._failed)

    async def start(self, room: rtc.Room | None) -> None:
        """Publish the voice's track in `room`, once somebody is there to hear it."""
        self._room = room
        options = APIConnectOptions(max_retry=0, retry_interval=0.2, timeout=VOICE_TIMEOUT_S)
        session: AgentSession[None] = AgentSession(
            tts=self._voice,
            vad=None,
            # Named, not left to its default: that one sends the room's sound to a cloud when the worker runs as dev.
            turn_handling=TurnHandlingOptions(
                turn_detection="manual",
                interruption={"mode": "vad"},
                preemptive_generation={"enabled": False},
            ),
            user_away_timeout=None,
            aec_warmup_duration=None,
            # It would end itself after the fourth failure; a voice that fails is no reason to leave the room.
            conn_options=SessionConnectOptions(tts_conn_options=options, max_unrecoverable_errors=sys.maxsize),
        )
        session.on("agent_state_changed", self._changed)
        session.on("close", self._closed)
        self._session = session
        agent = _Speaker(self._is_heard)
        if room is None:
            await session.start(agent, session_host=False, record=False)
            return
        # A session host would let anybody in the room read the session and drive it.
        await session.start(agent, room=room, room_options=_OUTPUT_ONLY, session_host=False, record=False)
        self._audience = VoiceSubscribers(session.room_io, room, self._clock)

    async def mend(self) -> None:
        """Begin anew where the voice's track could not be published."""
        if self._audience is None or not self._audience.lost or self._clock() < self._mends_from_s:
            return
        log.warning("the voice's track was not published")
        self._mends_from_s = self._clock() + REST_S
        self.on_speaks(False)
        for step in (self._end, partial(self.start, self._room)):
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await step()
            except TimeoutError:
                log.warning("the voice's session did not end, or begin anew, in time")

    @property
    def session(self) -> AgentSession[None]:
        assert self._session is not None
        return self._session

    @property
    def able(self) -> bool:
        if self._session is None or self._clock() < self._rests_until_s:
            return False
        return self._room is None or (self._audience is not None and self._audience.may_hear)

    def say(self, text: str | AsyncIterator[str]) -> SpeechHandle | None:
        """Begin to say `text` after what is being said; None where there is no voice now."""
        if not self.able:
            return None
        try:
            return self.session.say(text, add_to_chat_ctx=False)
        except RuntimeError as error:
            log.warning("the voice's session takes no speech", error=type(error).__name__)
            return None

    async def finished(self, handle: SpeechHandle) -> None:
        """Wait until a speech has been heard to its end, or was interrupted."""
        try:
            async with asyncio.timeout(LONGEST_SPEECH_S):
                await handle
        except TimeoutError:
            handle.interrupt(force=True)

    def hush(self) -> None:
        """Stop at once, and drop what was still to be said."""
        if self._session is not None:
            try:
                self._session.interrupt(force=True)
            except RuntimeError:
                # It is closing: nothing is being said.
                pass

    async def aclose(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._end()
                for voice in {self._voice, *self._voices}:
                    await voice.aclose()
        except TimeoutError:
            log.warning("the voice did not close in time")

    async def _end(self) -> None:
        """End the session; nothing more is said by it from now on, and it is ended again where this was cut short."""
        self._audience = None
        if self._session is not None:
            self._session.off("close", self._closed)
            await self._session.aclose()
            self._session = None

    async def _is_heard(self) -> bool:
        return self._room is None or (self._audience is not None and await self._audience.comes())

    def _failed(self, error: tts.TTSError) -> None:
        if error.recoverable:
            return
        self._rests_until_s = self._clock() + REST_S
        status = getattr(error.error, "status_code", None)
        log.warning("the voice failed", error=type(error.error).__name__, status=status)
        self.on_speaks(False)

    def _changed(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self.on_speaks(True)

    def _closed(self, event: CloseEvent) -> None:
        log.warning("the voice's session closed", reason=str(event.reason))
        self._session = None
        self.on_speaks(False)


_OUTPUT_ONLY = room_io.RoomOptions(
    text_input=False,
    audio_input=False,
    text_output=False,
    audio_output=room_io.AudioOutputOptions(sample_rate=24_000, track_name="rayroom"),
    close_on_disconnect=False,
)
