"""Streams audio to one speech-to-text service, and orders the configured services by their recent failures.

livekit's FallbackAdapter is not used. It forwards only the audio after a failure, so it loses the words that met the
failure, as a rule the first ones of a question. It also probes a failed service with a second paid stream. Here the
whole utterance is sent again to the next service.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, stt

log = structlog.get_logger()

# The plugin opens its socket in a task of its own, with a copy of the context that created the stream: a context
# variable reaches that socket, which is the only place where messages without a transcript are visible.
_ON_MESSAGE: ContextVar[Callable[[], None] | None] = ContextVar("on_message", default=None)


@contextmanager
def messages_reported_to(on_message: Callable[[], None]) -> Iterator[None]:
    """Call `on_message` for each message that arrives on a socket of the streams created within the block."""
    token = _ON_MESSAGE.set(on_message)
    try:
        yield
    finally:
        _ON_MESSAGE.reset(token)


def message_callback() -> Callable[[], None] | None:
    """Return the callback of the stream that created the current context, or None."""
    return _ON_MESSAGE.get()


_SPEAKER: ContextVar[str] = ContextVar("speaker", default="")
MAX_SPEAKER_CHARS = 256
"""LiveKit's own limit of an identity."""


@contextmanager
def speech_of(identity: str) -> Iterator[None]:
    """Name the speaker of the streams created within the block, in this task and in those it starts."""
    token = _SPEAKER.set(identity[:MAX_SPEAKER_CHARS])
    try:
        yield
    finally:
        _SPEAKER.reset(token)


def speaker() -> str:
    """Return the speaker of the stream that created the current context; empty where there is none."""
    return _SPEAKER.get()


COOLDOWN_S = 10.0
"""How long a service that failed is tried after the others."""
CONNECT_TIMEOUT_S = 4.0
CLOSE_TIMEOUT_S = 3.0

Service = stt.STT[Any]


class SttServices:
    """The services in their configured order. One that failed comes last for `COOLDOWN_S`."""

    def __init__(self, services: Sequence[Service], clock: Callable[[], float]) -> None:
        self._services = list(services)
        self._clock = clock
        self._cooldown_until_s = [-1.0] * len(self._services)

    @property
    def attempts(self) -> int:
        """Return the number of attempts for one utterance: one for each service, two where there is only one."""
        return max(2, len(self._services))

    def in_order(self) -> list[Service]:
        now_s = self._clock()
        pairs = list(zip(self._services, self._cooldown_until_s, strict=True))
        available = [service for service, until_s in pairs if until_s <= now_s]
        return available + [service for service, until_s in pairs if until_s > now_s]

    def failed(self, service: Service) -> None:
        self._cooldown_until_s[self._services.index(service)] = self._clock() + COOLDOWN_S

    def succeeded(self, service: Service) -> None:
        self._cooldown_until_s[self._services.index(service)] = -1.0


class SttStream:
    """One stream to one service. `text` can be read at any time; `changed` is set when a message arrives."""

    def __init__(self, service: Service, replays: bool = False) -> None:
        self.service = service
        self.replays = replays
        """Whether it received a whole utterance at once. The end of one segment is then not the end of all."""
        self.changed = asyncio.Event()
        self.has_failed = False
        self.has_responded = False
        """Whether any message arrived, even one without words."""
        self.language = ""
        """The code of the language of the last final transcript: the detected one, or the one that was set."""
        with messages_reported_to(self._on_message):
            self._stream = service.stream(conn_options=APIConnectOptions(max_retry=0, timeout=CONNECT_TIMEOUT_S))
        self._reading = asyncio.create_task(self._read(), name="stt stream")
        self._finals: list[str] = []
        self._interim = ""
        self._speaking = False
        self._flushed = self._final_since_flush = self._message_since = False

    def push(self, frame: rtc.AudioFrame) -> None:
        with self._unless_ended():
            self._stream.push_frame(frame)

    def flush(self) -> None:
        """Ask for the final transcript of all audio so far."""
        self._flushed, self._final_since_flush, self._message_since = True, False, False
        with self._unless_ended():
            self._stream.flush()

    def reset(self) -> None:
        """Begin another utterance on the same socket."""
        self._finals, self._interim, self.has_responded, self.replays = [], "", False, False
        self._flushed = self._final_since_flush = False
        self.changed.clear()

    @property
    def text(self) -> str:
        """Return the final transcripts and the interim one, joined."""
        return " ".join([*self._finals, self._interim]).strip()

    @property
    def is_complete(self) -> bool:
        """Return whether the transcript covers all audio until the flush. Unknowable, so False, for a replay."""
        if self.replays:
            return False
        return bool(self._finals) and not self._interim and (not self._speaking or self._final_since_flush)

    @property
    def has_interim(self) -> bool:
        """Return whether the last words are not final yet."""
        return bool(self._interim)

    @property
    def is_stalled(self) -> bool:
        """Return whether the service shows no sign of life: none at all, or none since it has results pending."""
        return not (self._message_since if self.is_pending else self.has_responded)

    @property
    def is_pending(self) -> bool:
        """Return whether the service began a result that it has not finished."""
        return bool(self._interim) or (self._speaking and (self.replays or not self._final_since_flush))

    def abandon(self) -> None:
        """Treat the service as failed."""
        self.has_failed = True
        self._reading.cancel()
        log.warning("stt stream stalled")

    async def until_failed(self) -> None:
        await asyncio.wait({self._reading})

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading}, timeout=CLOSE_TIMEOUT_S)
        try:
            # Not end_input: after it the plugin waits up to five seconds for the service's next message.
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._stream.aclose()
        except TimeoutError:
            log.warning("stt stream close timed out", timeout_s=CLOSE_TIMEOUT_S)

    def _unless_ended(self) -> AbstractContextManager[None]:
        """Ignore the RuntimeError of a stream that has ended: its reader runs some turns of the loop later.

        Nothing is lost: the owner keeps the audio of the whole utterance and learns of the failure from `until_failed`.
        """
        return contextlib.suppress(RuntimeError)

    def _on_message(self) -> None:
        self.has_responded = self._message_since = True
        self.changed.set()

    async def _read(self) -> None:
        try:
            async for event in self._stream:
                self._on_event(event)
            # A stream that ends before it is closed transcribes nothing more.
            self.has_failed = True
        except (APIError, TimeoutError, OSError) as error:
            self.has_failed = True
            status = getattr(error, "status_code", None)
            log.warning("stt stream failed", error=type(error).__name__, status=status)
        finally:
            self.changed.set()

    def _on_event(self, event: stt.SpeechEvent) -> None:
        kind = stt.SpeechEventType
        if event.type == kind.RECOGNITION_USAGE:
            return
        self._on_message()
        if event.type == kind.START_OF_SPEECH:
            self._speaking = True
        elif event.type == kind.END_OF_SPEECH:
            self._speaking = False
        elif event.type == kind.INTERIM_TRANSCRIPT:
            # An interim transcript promises a final one: from here on only a newer message is a sign of life.
            self._interim, self._message_since = event.alternatives[0].text, False
        elif event.type == kind.FINAL_TRANSCRIPT:
            self._finals.append(event.alternatives[0].text)
            self.language = str(event.alternatives[0].language)
            self._interim, self._final_since_flush = "", self._flushed
