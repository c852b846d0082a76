"""Counts what speech costs where it leaves for the vendor, and turns the counts into events that are billed once.

The plugins' own figures are not used. Deepgram's adds how long its socket lived to how much sound was sent, up to
five seconds of it; ElevenLabs' says nothing at all of a reply that was interrupted (livekit-agents 1.8.9, both
measured in tests/integration/test_voice.py). What a vendor charges for is what it was sent, so that is counted.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import aiohttp

Service = Literal["stt", "tts"]
MOST_EVENTS = 256
"""As many as one heartbeat may carry. Behind them amounts add up, so that nothing is dropped however long it takes."""
MOST_IN_ONE = {"stt": 86_400_000, "tts": 1_000_000}
"""What the router takes in one event: a day of sound, a million characters."""
_BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """An amount of one model's work; sent again under the same id it is the same amount."""

    id: str
    service: Service
    model: str
    audio_ms: int = 0
    characters: int = 0
    occurred_at: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class SpeechUsage:
    """What a room's speech cost. Events wait until the router says that it has taken them."""

    def __init__(self, wall_clock: Callable[[], float], job: str = "") -> None:
        self._wall_clock = wall_clock
        # Two runs of one job never share an id: the second one's amounts would be taken for the first one's.
        self._name = f"{job or 'speech'}-{uuid.uuid4().hex[:8]}"
        self._pending: Counter[tuple[Service, str]] = Counter()
        self._events: dict[str, UsageEvent] = {}
        self._sealed = 0
        self.audio_ms = 0
        self.characters = 0

    def heard(self, model: str, audio_ms: int) -> None:
        self.audio_ms += audio_ms
        self._pending["stt", model] += audio_ms

    def spoke(self, model: str, characters: int) -> None:
        self.characters += characters
        self._pending["tts", model] += characters

    def due(self) -> list[UsageEvent]:
        """Return every event not taken yet, the newest amounts among them."""
        for (service, model), amount in sorted(self._pending.items()):
            if amount and len(self._events) < MOST_EVENTS:
                self._seal(service, model, min(amount, MOST_IN_ONE[service]))
        return list(self._events.values())

    def taken(self, ids: Iterable[str]) -> None:
        for one in ids:
            self._events.pop(one, None)

    @property
    def unbilled(self) -> dict[str, int]:
        """How much the router has not taken yet, by service."""
        left = Counter(stt=0, tts=0)
        for event in self._events.values():
            left[event.service] += event.audio_ms + event.characters
        for (service, _), amount in self._pending.items():
            left[service] += amount
        return dict(left)

    def _seal(self, service: Service, model: str, amount: int) -> None:
        self._sealed += 1
        event = UsageEvent(
            id=f"{self._name}-{self._sealed}",
            service=service,
            model=model,
            audio_ms=amount if service == "stt" else 0,
            characters=amount if service == "tts" else 0,
            occurred_at=self._wall_clock(),
        )
        self._events[event.id] = event
        self._pending[service, model] -= amount


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


class SpokenText:
    """How many characters of one text are billed so far: the space around it is not. Keeps none of the text."""

    def __init__(self) -> None:
        self._characters = self._trailing = 0

    def add(self, text: str) -> int:
        """Count `text`; return the characters to be told because of it."""
        before = self._characters
        if not self._characters:
            text = text.lstrip()
        bare = text.rstrip()
        if bare:
            self._characters += self._trailing + len(bare)
            self._trailing = len(text) - len(bare)
        elif self._characters:
            self._trailing += len(text)
        return self._characters - before


def counting_ears(usage: SpeechUsage) -> aiohttp.ClientSession:
    """Return a session whose websockets count the sound they send, as Deepgram is asked to take it."""

    class Socket(aiohttp.ClientWebSocketResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            query = self._response.url.query
            self._model = query.get("model", "")
            self._heard = HeardBytes(int(query.get("sample_rate", "16000")), int(query.get("channels", "1")))

        async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
            # Counted before: a send that is cancelled while it waits has been written all the same.
            if not self.closed:
                usage.heard(self._model, self._heard.add(len(data)))
            await super().send_bytes(data, compress)

    return aiohttp.ClientSession(ws_response_class=Socket)


def counting_mouths(usage: SpeechUsage) -> aiohttp.ClientSession:
    """Return a session whose websockets count the characters they send, as ElevenLabs is asked to speak them."""

    class Socket(aiohttp.ClientWebSocketResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._model = self._response.url.query.get("model_id", "")
            self._texts: dict[str, SpokenText] = {}

        async def send_str(self, data: str, compress: int | None = None) -> None:
            if not self.closed:
                self._count(json.loads(data))
            await super().send_str(data, compress)

        def _count(self, message: dict[str, Any]) -> None:
            context = str(message.get("context_id"))
            if message.get("close_context"):
                self._texts.pop(context, None)
                return
            more = self._texts.setdefault(context, SpokenText()).add(str(message.get("text") or ""))
            if more:
                usage.spoke(self._model, more)

    return aiohttp.ClientSession(ws_response_class=Socket)
