"""Counts what speech costs where it leaves for the vendor, and turns the counts into events that are billed once.

The plugins' own figures are not used. Deepgram's adds how long its socket lived to how much sound was sent, up to
five seconds of it; ElevenLabs' says nothing at all of a reply that was interrupted (livekit-agents 1.8.9, both
measured in tests/integration/test_voice.py). What a vendor charges for is what it was sent, so that is counted.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from room_agent.audio.stt_stream import who_feels
from room_agent.usage.events import MOST_EVENTS, Service, UsageEvent, pieces, usage_event
from room_agent.usage.journal import UsageJournal
from room_agent.usage.tts_characters import TtsCharacterCounts

_BYTES_PER_SAMPLE = 2


class SpeechMeter:
    """What a room's speech cost. Events wait until the router says that it has taken them.

    Behind the most events that one heartbeat carries amounts add up, so that nothing is dropped however long it takes.
    """

    def __init__(self, wall_clock: Callable[[], float], journal: UsageJournal | None = None) -> None:
        self._wall_clock = wall_clock
        self._journal = journal
        # Two runs of one job never share an id: the second one's amounts would be taken for the first one's.
        self._name = f"speech-{uuid.uuid4().hex[:8]}"
        self._pending: Counter[tuple[Service, str]] = Counter()
        self._events: dict[str, UsageEvent] = {}
        self._sealed = self._sockets = 0
        self.audio_ms = 0
        self.characters = 0

    def socket(self, service: Service, model: str) -> SpeechSocket:
        """Return the count of a socket that was opened to a vendor."""
        self._sockets += 1
        return SpeechSocket(self, self._journal, self._sockets, service, model)

    def count(self, service: Service, model: str, amount: int) -> None:
        if service == "stt":
            self.audio_ms += amount
        else:
            self.characters += amount
        self._pending[service, model] += amount

    def due(self) -> list[UsageEvent]:
        """Return every event not taken yet, the newest amounts among them."""
        for (service, model), amount in sorted(self._pending.items()):
            if amount > 0 and len(self._events) < MOST_EVENTS:
                self._seal(service, model, pieces(service, amount)[0])
        return list(self._events.values())

    def taken(self, ids: Iterable[str]) -> None:
        gone = [one for one in ids if self._events.pop(one, None)]
        if self._journal is None:
            return
        if gone:
            self._journal.taken(gone)
        if self.settled:
            self._journal.settled()

    @property
    def settled(self) -> bool:
        """Whether the router has taken all there was."""
        return not any(self.unbilled.values())

    @property
    def unbilled(self) -> dict[str, int]:
        """How much the router has not taken yet, by service."""
        left = Counter(stt=0, tts=0)
        for event in self._events.values():
            left[event.service] += event.amount
        for (service, _), amount in self._pending.items():
            # Less than none, for it was taken back after it had been sealed, is set against what comes.
            left[service] += max(amount, 0)
        return dict(left)

    def report(self) -> dict[str, float]:
        return {"usage_unwritten": self._journal.failed if self._journal is not None else 0}

    def aclose(self) -> None:
        if self._journal is not None:
            self._journal.close(self.settled)

    def _seal(self, service: Service, model: str, amount: int) -> None:
        self._sealed += 1
        event = usage_event(f"{self._name}-{self._sealed}", service, model, amount, self._wall_clock())
        if self._journal is not None:
            self._journal.sealed(event)
        self._events[event.id] = event
        self._pending[service, model] -= amount


@dataclass(slots=True)
class SpeechSocket:
    """One socket's part of the count, told around each send."""

    usage: SpeechMeter
    journal: UsageJournal | None
    number: int
    service: Service
    model: str
    _doubtful: bool = False

    def will_send(self, amount: int) -> None:
        """Count before it is sent: a send that is cancelled while it waits has been written all the same."""
        if not amount:
            return
        if self.journal is not None:
            self.journal.will(self.number, self.service, self.model, amount)
            self._doubtful = True
        self.usage.count(self.service, self.model, amount)

    def sent(self, waiting_bytes: int) -> None:
        """Note that a send has returned; bytes that wait in this process die with it, so they are no proof."""
        if self._doubtful and not waiting_bytes and self.journal is not None:
            self.journal.sent(self.number)
            self._doubtful = False

    def refused(self, amount: int) -> None:
        """Take back what is not charged after all: the vendor was gone, or says so."""
        if self.journal is not None:
            self.journal.will(self.number, self.service, self.model, -amount)
        self.usage.count(self.service, self.model, -amount)


class HeardBytes:
    """How much sound one socket was sent, told in whole milliseconds that add up to the whole."""

    def __init__(self, sample_rate_hz: int, channels: int = 1) -> None:
        self._bytes_per_s = _BYTES_PER_SAMPLE * channels * sample_rate_hz
        self._bytes = self._told_ms = 0

    def add(self, size: int) -> int:
        """Count `size` bytes more; return the milliseconds to be told because of them."""
        self._bytes += size
        now_ms = round(self._bytes * 1_000 / self._bytes_per_s)
        more_ms, self._told_ms = now_ms - self._told_ms, now_ms
        return more_ms


class _CountingSocket(aiohttp.ClientWebSocketResponse):
    """Counts what there is still somebody to send to."""

    _count: SpeechSocket

    @property
    def _sends(self) -> bool:
        return not self.closed and not self._writer.transport.is_closing()

    async def _counted(self, amount: int, sending: Awaitable[None]) -> bool:
        """Send, and count it; return whether it stays counted.

        The socket that a send finds broken closes at once, and took none of it. Where it closed while the send waited,
        the piece may have left before: that stays on the bill.
        """
        transport, waited = self._writer.transport, asyncio.Event()
        self._count.will_send(amount)
        # The loop turns, and sets it, only if the send waits.
        turn = asyncio.get_running_loop().call_soon(waited.set)
        await sending
        turn.cancel()
        if not transport.is_closing():
            self._count.sent(transport.get_write_buffer_size())
        elif amount and not waited.is_set():
            self._count.refused(amount)
            return False
        return True


async def _stay(session: object, context: object, redirected: aiohttp.TraceRequestRedirectParams) -> None:
    # aiohttp would follow with all headers but `authorization`, and ElevenLabs' key is in another.
    response = redirected.response
    response.close()
    raise aiohttp.WSServerHandshakeError(
        response.request_info, response.history, status=response.status, message="The vendor redirects."
    )


def _session(socket: type[_CountingSocket]) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_stay)
    return aiohttp.ClientSession(ws_response_class=socket, trace_configs=[trace])


def metered_stt_session(usage: SpeechMeter) -> aiohttp.ClientSession:
    """Return a session whose websockets count the sound they send, as Deepgram is asked to take it."""

    class Socket(_CountingSocket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            query = self._response.url.query
            self._count = usage.socket("stt", query.get("model", ""))
            self._heard = HeardBytes(int(query.get("sample_rate", "16000")), int(query.get("channels", "1")))
            self._feel = who_feels()

        async def receive(self, *args: Any, **kwargs: Any) -> Any:
            message = await super().receive(*args, **kwargs)
            if self._feel is not None and message.type is aiohttp.WSMsgType.TEXT:
                self._feel()
            return message

        async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
            amount = self._heard.add(len(data)) if self._sends else 0
            await self._counted(amount, super().send_bytes(data, compress))

    return _session(Socket)


def metered_tts_session(usage: SpeechMeter) -> aiohttp.ClientSession:
    """Return a session whose websockets count the characters they send, as ElevenLabs is asked to speak them."""

    class Socket(_CountingSocket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._count = usage.socket("tts", self._response.url.query.get("model_id", ""))
            self._texts = TtsCharacterCounts()

        async def receive(self, *args: Any, **kwargs: Any) -> Any:
            message = await super().receive(*args, **kwargs)
            if message.type is aiohttp.WSMsgType.TEXT and (refused := self._texts.receive(message.data)):
                self._count.refused(refused)
            return message

        async def send_str(self, data: str, compress: int | None = None) -> None:
            amount = self._texts.send(json.loads(data)) if self._sends else 0
            if not await self._counted(amount, super().send_str(data, compress)):
                self._texts.unsent(amount)

    return _session(Socket)
