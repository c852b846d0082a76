"""Meters speech at the vendors' sockets, and turns the amounts into events that are billed once.

The plugins' own metrics are not used. Deepgram's adds up to five seconds of the socket's lifetime to the audio sent.
ElevenLabs' reports nothing for an interrupted reply (livekit-agents 1.8.9, both measured in
tests/integration/room_agent/test_voice.py). Vendors charge for the data sent to them, so that is metered.
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
from cachetools import FIFOCache

from room_agent.audio.stt_stream import message_callback, speaker
from room_agent.core.settings import stt_price_name
from room_agent.usage.events import MAX_EVENTS, MeteredUsage, Service, UsageEvent, split_amount, usage_event
from room_agent.usage.journal import UsageJournal
from room_agent.usage.tts_characters import TtsCharacterCounts

_BYTES_PER_SAMPLE = 2
MAX_SHARES = 256
"""Participants for whom one socket spoke, before the first of them gets a new share."""


class SpeechMeter:
    """The speech usage of one room. Events are kept until the router has billed them.

    Beyond the events that one heartbeat carries, amounts add up: nothing is dropped while the router is away.
    """

    def __init__(self, wall_clock: Callable[[], float], journal: UsageJournal | None = None) -> None:
        self._wall_clock = wall_clock
        self._journal = journal
        # Two runs of one job must not share an id: the second run's amounts would count as repeats of the first's.
        self._name = f"speech-{uuid.uuid4().hex[:8]}"
        self._pending: Counter[MeteredUsage] = Counter()
        self._events: dict[str, UsageEvent] = {}
        self._sealed = self._sockets = 0
        self.audio_ms = 0
        self.characters = 0
        self.asker = ""
        """The participant for whom the agent speaks; empty where that is nobody."""

    def speak_for(self, asker: str) -> None:
        """Note for whom the agent speaks from now on."""
        self.asker = asker

    def socket(self, service: Service, model: str, participant: str = "") -> SpeechSocket:
        """Return the meter of one participant's share of a new socket to a vendor."""
        self._sockets += 1
        return SpeechSocket(self, self._journal, self._sockets, (service, model, participant))

    def count(self, usage: MeteredUsage, amount: int) -> None:
        service = usage[0]
        if service == "stt":
            self.audio_ms += amount
        else:
            self.characters += amount
        self._add(usage, amount)

    def due(self) -> list[UsageEvent]:
        """Return every unbilled event, including the newest amounts."""
        for usage, amount in sorted(self._pending.items()):
            if amount > 0 and len(self._events) < MAX_EVENTS:
                self._seal(usage, split_amount(usage[0], amount)[0])
        return list(self._events.values())

    def taken(self, ids: Iterable[str]) -> None:
        """Drop the events that the router has billed."""
        billed = [event_id for event_id in ids if self._events.pop(event_id, None)]
        if self._journal is None:
            return
        if billed:
            self._journal.taken(billed)
        if self.settled:
            self._journal.settled()

    @property
    def settled(self) -> bool:
        """Return whether the router has billed everything."""
        return not any(self.unbilled.values())

    @property
    def unbilled(self) -> dict[str, int]:
        """Return the unbilled amount by service."""
        amounts = Counter(stt=0, tts=0)
        for event in self._events.values():
            amounts[event.service] += event.amount
        for (service, *_), amount in self._pending.items():
            # Negative where an amount was refused after its event was sealed; it is deducted from the next amounts.
            amounts[service] += max(amount, 0)
        return dict(amounts)

    def report(self) -> dict[str, float]:
        return {"usage_unwritten": self._journal.failed if self._journal is not None else 0}

    def aclose(self) -> None:
        if self._journal is not None:
            self._journal.close(self.settled)

    def _add(self, usage: MeteredUsage, amount: int) -> None:
        self._pending[usage] += amount
        # A room may have thousands of participants one after another.
        if not self._pending[usage]:
            del self._pending[usage]

    def _seal(self, usage: MeteredUsage, amount: int) -> None:
        self._sealed += 1
        event = usage_event(f"{self._name}-{self._sealed}", usage, amount, self._wall_clock())
        if self._journal is not None:
            self._journal.sealed(event)
        self._events[event.id] = event
        self._add(usage, -amount)


@dataclass(slots=True)
class SpeechSocket:
    """The meter of one socket, called before and after each send."""

    meter: SpeechMeter
    journal: UsageJournal | None
    number: int
    usage: MeteredUsage
    _doubtful: bool = False

    def will_send(self, amount: int) -> None:
        """Count an amount before its send: a send cancelled while it waits has written its data all the same."""
        if not amount:
            return
        if self.journal is not None:
            self.journal.announced(self.number, self.usage, amount)
            self._doubtful = True
        self.meter.count(self.usage, amount)

    def sent(self, waiting_bytes: int) -> None:
        """Note that a send has returned. Bytes still buffered in this process do not count as sent."""
        if self._doubtful and not waiting_bytes and self.journal is not None:
            self.journal.sent(self.number)
            self._doubtful = False

    def refused(self, amount: int) -> None:
        """Deduct an amount that is not charged: the vendor was gone, or refused it."""
        if self.journal is not None:
            self.journal.announced(self.number, self.usage, -amount)
        self.meter.count(self.usage, -amount)


class AudioDuration:
    """The duration of the audio sent through one socket, in whole milliseconds that add up without a rounding error."""

    def __init__(self, sample_rate_hz: int, channels: int = 1) -> None:
        self._bytes_per_s = _BYTES_PER_SAMPLE * channels * sample_rate_hz
        self._bytes = self._metered_ms = 0

    def add(self, size: int) -> int:
        """Add `size` bytes; return the milliseconds that they add to the total."""
        self._bytes += size
        now_ms = round(self._bytes * 1_000 / self._bytes_per_s)
        more_ms, self._metered_ms = now_ms - self._metered_ms, now_ms
        return more_ms


class _MeteredSocket(aiohttp.ClientWebSocketResponse):
    """A websocket that meters its sends while the peer is connected."""

    @property
    def _is_connected(self) -> bool:
        return not self.closed and not self._writer.transport.is_closing()

    async def _send_metered(self, meter: SpeechSocket, amount: int, sending: Awaitable[None]) -> bool:
        """Await a send and meter it; return whether the amount stays on the bill.

        A socket that a send finds broken closes at once, and has sent nothing of it. If it closed while the send
        waited for buffer space, the data may have left before: that stays on the bill.
        """
        transport, waited = self._writer.transport, asyncio.Event()
        meter.will_send(amount)
        # The callback runs only if the send yields to the loop, that is, if it waits.
        waiting = asyncio.get_running_loop().call_soon(waited.set)
        await sending
        waiting.cancel()
        if not transport.is_closing():
            meter.sent(transport.get_write_buffer_size())
        elif amount and not waited.is_set():
            meter.refused(amount)
            return False
        return True


async def _refuse_redirect(session: object, context: object, redirected: aiohttp.TraceRequestRedirectParams) -> None:
    # aiohttp would follow with all headers except `authorization`, and ElevenLabs' key is in another header.
    response = redirected.response
    response.close()
    raise aiohttp.WSServerHandshakeError(
        response.request_info,
        response.history,
        status=response.status,
        message="The vendor redirects; set the base URL to its final address.",
    )


def _session(socket: type[_MeteredSocket]) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(ws_response_class=socket, trace_configs=[trace])


def metered_stt_session(meter: SpeechMeter) -> aiohttp.ClientSession:
    """Return a session with websockets that meter the audio they send, in the format of Deepgram's query string."""

    class SttSocket(_MeteredSocket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            query = self._response.url.query
            model = stt_price_name(query.get("model", ""), query.get("language", ""), "keyterm" in query)
            self._meter = meter.socket("stt", model, speaker())
            self._duration = AudioDuration(int(query.get("sample_rate", "16000")), int(query.get("channels", "1")))
            self._on_message = message_callback()

        async def receive(self, *args: Any, **kwargs: Any) -> Any:
            message = await super().receive(*args, **kwargs)
            if self._on_message is not None and message.type is aiohttp.WSMsgType.TEXT:
                self._on_message()
            return message

        async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
            amount = self._duration.add(len(data)) if self._is_connected else 0
            await self._send_metered(self._meter, amount, super().send_bytes(data, compress))

    return _session(SttSocket)


def metered_tts_session(meter: SpeechMeter) -> aiohttp.ClientSession:
    """Return a session with websockets that meter the characters they send, in ElevenLabs' message format."""

    class TtsSocket(_MeteredSocket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._texts = TtsCharacterCounts()
            self._shares: FIFOCache[str, SpeechSocket] = FIFOCache(MAX_SHARES)

        async def receive(self, *args: Any, **kwargs: Any) -> Any:
            message = await super().receive(*args, **kwargs)
            if message.type is aiohttp.WSMsgType.TEXT:
                for asker, refused in self._texts.receive(message.data).items():
                    self._share(asker).refused(refused)
            return message

        async def send_str(self, data: str, compress: int | None = None) -> None:
            message = json.loads(data)
            amount = self._texts.send(message, meter.asker) if self._is_connected else 0
            share = self._share(self._texts.asker(message))
            if not await self._send_metered(share, amount, super().send_str(data, compress)):
                self._texts.unsent(message, amount)

        def _share(self, asker: str) -> SpeechSocket:
            if asker not in self._shares:
                model = self._response.url.query.get("model_id", "")
                self._shares[asker] = meter.socket("tts", model, asker)
            return self._shares[asker]

    return _session(TtsSocket)
