"""Hears one stretch of sound through a speech-to-text service, or the next one when it fails. Knows no room.

Not livekit's FallbackAdapter: it forwards what comes after a failure, so the words that met the failure, the first
ones of a question as a rule, are lost; and it probes a failed service with a second paid stream. Here the sound of
the whole utterance is said again to whoever takes over.
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

_FELT: ContextVar[Callable[[], None] | None] = ContextVar("pulse", default=None)


@contextmanager
def felt_by(feel: Callable[[], None]) -> Iterator[None]:
    """Have `feel` called for each message to a socket of the streams that are begun within the block."""
    token = _FELT.set(feel)
    try:
        yield
    finally:
        _FELT.reset(token)


def who_feels() -> Callable[[], None] | None:
    return _FELT.get()


REST_S = 10.0
"""How long a service that failed stands behind the others."""
CONNECT_TIMEOUT_S = 4.0
CLOSE_TIMEOUT_S = 3.0

Service = stt.STT[Any]


class SttServices:
    """The services in the order they are configured in; one that failed stands last until it has rested."""

    def __init__(self, services: Sequence[Service], clock: Callable[[], float]) -> None:
        self._services = list(services)
        self._clock = clock
        self._rests_until_s = [-1.0] * len(self._services)

    @property
    def attempts(self) -> int:
        """How often an utterance is tried: by each service, and twice by an only one."""
        return max(2, len(self._services))

    def in_order(self) -> list[Service]:
        now_s = self._clock()
        rested = [one for one, until_s in self._both() if until_s <= now_s]
        return rested + [one for one, until_s in self._both() if until_s > now_s]

    def failed(self, service: Service) -> None:
        self._rests_until_s[self._services.index(service)] = self._clock() + REST_S

    def heard(self, service: Service) -> None:
        self._rests_until_s[self._services.index(service)] = -1.0

    def _both(self) -> list[tuple[Service, float]]:
        return list(zip(self._services, self._rests_until_s, strict=True))


class SttStream:
    """One stream to one service. What it says so far can be read at any time; `changed` tells when it said more."""

    def __init__(self, service: Service, late: bool = False) -> None:
        self.service = service
        self.late = late
        """Whether it is told at once what was said for a while: the end of a part of it is then no end of all."""
        self.changed = asyncio.Event()
        self.broken = False
        self.answers = False
        """Whether anything came from the service, be it that it hears no word."""
        with felt_by(self._feel):
            self._stream = service.stream(conn_options=APIConnectOptions(max_retry=0, timeout=CONNECT_TIMEOUT_S))
        self._reading = asyncio.create_task(self._read(), name="ear")
        self._finals: list[str] = []
        self._interim = ""
        self._speaking = False
        self._flushed = self._final_since_flush = self._felt_since = False

    def hear(self, frame: rtc.AudioFrame) -> None:
        with self._unless_it_ended():
            self._stream.push_frame(frame)

    def flush(self) -> None:
        """Have all that was said so far told at once."""
        self._flushed, self._final_since_flush, self._felt_since = True, False, False
        with self._unless_it_ended():
            self._stream.flush()

    def forget(self) -> None:
        """Begin another utterance."""
        self._finals, self._interim, self.answers, self.late = [], "", False, False
        self._flushed = self._final_since_flush = False
        self.changed.clear()

    @property
    def text(self) -> str:
        """What was said, finally or so far."""
        return " ".join([*self._finals, self._interim]).strip()

    @property
    def caught_up(self) -> bool:
        """Whether nothing more is to come of what was said until the flush; never known of a late one."""
        if self.late:
            return False
        return bool(self._finals) and not self._interim and (not self._speaking or self._final_since_flush)

    @property
    def half_heard(self) -> bool:
        """Whether its last words are not final yet."""
        return bool(self._interim)

    @property
    def silent(self) -> bool:
        """Whether nothing shows that the service lives: after the flush, and after each interim text, it owes more."""
        return not (self._felt_since if self.owes else self.answers)

    @property
    def owes(self) -> bool:
        """Whether it has begun to tell something that it has not told to the end."""
        return bool(self._interim) or (self._speaking and (self.late or not self._final_since_flush))

    def give_up(self) -> None:
        """Take the service for broken."""
        self.broken = True
        self._reading.cancel()
        log.warning("a speech-to-text stream says nothing")

    async def until_broken(self) -> None:
        await asyncio.wait({self._reading})

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading}, timeout=CLOSE_TIMEOUT_S)
        try:
            # Not end_input: the plugin then waits up to five seconds for its next sign of life.
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._stream.aclose()
        except TimeoutError:
            log.warning("a speech-to-text stream did not close in time")

    def _unless_it_ended(self) -> AbstractContextManager[None]:
        """Let the stream refuse what it is given: it ends some turns of the loop before its reader learns of it.

        Whoever listens has the sound of the whole utterance, and is told that this ear broke.
        """
        return contextlib.suppress(RuntimeError)

    def _feel(self) -> None:
        self.answers = self._felt_since = True
        self.changed.set()

    async def _read(self) -> None:
        try:
            async for event in self._stream:
                self._take(event)
            # A stream that ends before it is closed hears nothing more.
            self.broken = True
        except (APIError, TimeoutError, OSError) as error:
            self.broken = True
            status = getattr(error, "status_code", None)
            log.warning("a speech-to-text stream broke", error=type(error).__name__, status=status)
        finally:
            self.changed.set()

    def _take(self, event: stt.SpeechEvent) -> None:
        kind = stt.SpeechEventType
        if event.type == kind.RECOGNITION_USAGE:
            return
        self._feel()
        if event.type == kind.START_OF_SPEECH:
            self._speaking = True
        elif event.type == kind.END_OF_SPEECH:
            self._speaking = False
        elif event.type == kind.INTERIM_TRANSCRIPT:
            self._interim, self._felt_since = event.alternatives[0].text, False
        elif event.type == kind.FINAL_TRANSCRIPT:
            self._finals.append(event.alternatives[0].text)
            self._interim, self._final_since_flush = "", self._flushed
