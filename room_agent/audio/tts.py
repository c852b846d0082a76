"""Speaks text on the agent's one track in a room, through livekit's session and the configured TTS plugins.

The session has no STT, VAD or LLM here. A meeting has many microphones, and the session would link one. A reply of
the session's own would also be cut short where the TTS fails, and then the text has to go on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
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

SUBSCRIBE_TIMEOUT_S = 3.0
"""How long the first speech waits for the first subscriber: a participant that has just joined subscribes later."""


class TrackSubscribers:
    """The subscribers of one session's track. Speech without a subscriber would wait for one, and would be billed."""

    def __init__(self, io: RoomIO, room: rtc.Room, clock: Callable[[], float]) -> None:
        self._io = io
        self._room = room
        self._clock = clock
        self._wait_until_s: float | None = None

    @property
    def has_any(self) -> bool:
        """Return whether a participant has subscribed to the track."""
        subscribed = self._io.subscribed_fut
        return subscribed is not None and subscribed.done()

    @property
    def is_unpublished(self) -> bool:
        """Return whether publishing failed while there are participants: a session tries it once."""
        # No public attribute tells that the initialization has ended, and waiting until it is ready never returns.
        starting = self._io._init_atask
        return not self.has_any and starting is not None and starting.done() and self._has_participants

    @property
    def may_come(self) -> bool:
        """Return whether there is a subscriber, or the one wait for the first has not timed out yet."""
        if self.has_any or not self._has_participants:
            return self.has_any
        return self._wait_until_s is None or self._clock() < self._wait_until_s

    async def wait(self) -> bool:
        """Wait for the first subscriber, at most once for `SUBSCRIBE_TIMEOUT_S`; return whether there is one."""
        subscribed = self._io.subscribed_fut
        if not self.has_any and subscribed is not None:
            now_s = self._clock()
            self._wait_until_s = self._wait_until_s or now_s + SUBSCRIBE_TIMEOUT_S
            await asyncio.wait({subscribed}, timeout=max(0.0, self._wait_until_s - now_s))
        return self.has_any

    @property
    def _has_participants(self) -> bool:
        return self._room.isconnected() and bool(self._room.remote_participants)


TTS_TIMEOUT_S = 5.0
COOLDOWN_S = 10.0
"""How long TTS is not tried again after a failure."""
CLOSE_TIMEOUT_S = 5.0
MAX_SPEECH_S = 180.0

# A speech is synthesized in a task of its own, with a copy of the context that queued it.
_ASKER: ContextVar[str] = ContextVar("asker", default="")
_LANGUAGE: ContextVar[str] = ContextVar("language", default="")


class _SpeakingAgent(Agent):
    """Ends the speech without a log on a TTS failure: the error event reports it, and the message quotes the text."""

    def __init__(
        self, wait_for_subscriber: Callable[[], Awaitable[bool]], on_speaking_for: Callable[[str, str], None]
    ) -> None:
        super().__init__(instructions="")
        self._wait_for_subscriber = wait_for_subscriber
        self._on_speaking_for = on_speaking_for

    async def tts_node(self, text: AsyncIterable[str], model_settings: ModelSettings) -> AsyncIterator[rtc.AudioFrame]:
        if not await self._wait_for_subscriber():
            return
        self._on_speaking_for(_ASKER.get(), _LANGUAGE.get())
        try:
            async for frame in Agent.default.tts_node(self, _encodable(text), model_settings):
                yield frame
        except APIError:
            return


async def _encodable(text: AsyncIterable[str]) -> AsyncIterator[str]:
    """Yield the text without lone surrogates: they cannot be encoded, and would make the billed count differ."""
    async for chunk in text:
        yield chunk.encode(errors="ignore").decode()


class SpeechOutput:
    """One room's speech output, from `start` to `aclose`."""

    def __init__(self, plugins: Sequence[tts.TTS[Any]], clock: Callable[[], float]) -> None:
        self._plugins = list(plugins)
        # The next plugin takes over a failed speech with its whole text. The failed one is probed in the background.
        self._tts: tts.TTS[Any] = (
            self._plugins[0] if len(plugins) == 1 else tts.FallbackAdapter(self._plugins, max_retry_per_tts=0)
        )
        self.on_available: Callable[[bool], None] = lambda _: None
        """Called with True when speech becomes audible, and with False when TTS or its session fails."""
        self.on_speaking_for: Callable[[str, str], None] = lambda *_: None
        """Called before each speech with the participant for whom it is, and the language; empty if there is none."""
        self._clock = clock
        self._cooldown_until_s = self._restart_from_s = -1.0
        self._session: AgentSession[None] | None = None
        self._room: rtc.Room | None = None
        self._subscribers: TrackSubscribers | None = None
        self._tts.on("error", self._on_error)

    async def start(self, room: rtc.Room | None) -> None:
        """Publish the track in `room`. Without a room the caller sets the session's audio output."""
        self._room = room
        options = APIConnectOptions(max_retry=0, retry_interval=0.2, timeout=TTS_TIMEOUT_S)
        session: AgentSession[None] = AgentSession(
            tts=self._tts,
            vad=None,
            # Set, because the default sends the room's audio to a cloud service when the worker runs in dev mode.
            turn_handling=TurnHandlingOptions(
                turn_detection="manual",
                interruption={"mode": "vad"},
                preemptive_generation={"enabled": False},
            ),
            user_away_timeout=None,
            aec_warmup_duration=None,
            # By default the session ends itself after the fourth failure. A TTS failure is no reason to leave the room.
            conn_options=SessionConnectOptions(tts_conn_options=options, max_unrecoverable_errors=sys.maxsize),
        )
        session.on("agent_state_changed", self._on_state_changed)
        session.on("close", self._on_session_closed)
        self._session = session
        agent = _SpeakingAgent(self._wait_for_subscriber, lambda *speech: self.on_speaking_for(*speech))
        if room is None:
            await session.start(agent, session_host=False, record=False)
            return
        # A session host would let every participant read the session and control it.
        await session.start(agent, room=room, room_options=_OUTPUT_ONLY, session_host=False, record=False)
        self._subscribers = TrackSubscribers(session.room_io, room, self._clock)

    async def restart_if_unpublished(self) -> None:
        """Start a new session where the track could not be published, at most once in `COOLDOWN_S`."""
        if self._subscribers is None or not self._subscribers.is_unpublished or self._clock() < self._restart_from_s:
            return
        log.warning("tts track not published; session restarted")
        self._restart_from_s = self._clock() + COOLDOWN_S
        self.on_available(False)
        for step in (self._end_session, partial(self.start, self._room)):
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await step()
            except TimeoutError:
                log.warning("tts session restart timed out", timeout_s=CLOSE_TIMEOUT_S)

    @property
    def session(self) -> AgentSession[None]:
        assert self._session is not None
        return self._session

    @property
    def is_available(self) -> bool:
        """Return whether speech would be audible now, as far as is known."""
        if self._session is None or self._clock() < self._cooldown_until_s:
            return False
        return self._room is None or (self._subscribers is not None and self._subscribers.may_come)

    def say(self, text: str | AsyncIterator[str], asker: str = "", language: str = "") -> SpeechHandle | None:
        """Queue `text` behind the current speech; return None if speech is not available.

        `asker` is the participant for whom it is spoken, and to whom its cost counts; `language` chooses the voice.
        """
        if not self.is_available:
            return None
        tokens = _ASKER.set(asker), _LANGUAGE.set(language)
        try:
            return self.session.say(text, add_to_chat_ctx=False)
        except RuntimeError as error:
            log.warning("tts session refused speech", error=type(error).__name__)
            return None
        finally:
            _ASKER.reset(tokens[0])
            _LANGUAGE.reset(tokens[1])

    async def wait_until_played(self, handle: SpeechHandle) -> None:
        """Wait until a speech was played to its end or interrupted; interrupt it after `MAX_SPEECH_S`."""
        try:
            async with asyncio.timeout(MAX_SPEECH_S):
                await handle
        except TimeoutError:
            handle.interrupt(force=True)

    def interrupt(self) -> None:
        """Stop at once, and drop the queued speech."""
        if self._session is not None:
            try:
                self._session.interrupt(force=True)
            except RuntimeError:
                # The session is closing and plays nothing.
                pass

    async def aclose(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._end_session()
                for plugin in {self._tts, *self._plugins}:
                    await plugin.aclose()
        except TimeoutError:
            log.warning("tts close timed out", timeout_s=CLOSE_TIMEOUT_S)

    async def _end_session(self) -> None:
        """End the session. Safe to repeat after a timeout: until the session has closed it is kept."""
        self._subscribers = None
        if self._session is not None:
            self._session.off("close", self._on_session_closed)
            await self._session.aclose()
            self._session = None

    async def _wait_for_subscriber(self) -> bool:
        return self._room is None or (self._subscribers is not None and await self._subscribers.wait())

    def _on_error(self, error: tts.TTSError) -> None:
        if error.recoverable:
            return
        self._cooldown_until_s = self._clock() + COOLDOWN_S
        status = getattr(error.error, "status_code", None)
        log.warning("tts failed", error=type(error.error).__name__, status=status)
        self.on_available(False)

    def _on_state_changed(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self.on_available(True)

    def _on_session_closed(self, event: CloseEvent) -> None:
        log.warning("tts session closed", reason=str(event.reason))
        self._session = None
        self.on_available(False)


_OUTPUT_ONLY = room_io.RoomOptions(
    text_input=False,
    audio_input=False,
    text_output=False,
    audio_output=room_io.AudioOutputOptions(sample_rate=24_000, track_name="rayroom"),
    close_on_disconnect=False,
)
