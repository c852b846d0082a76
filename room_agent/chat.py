"""Takes text messages in from every participant: short, clean, and from each at its own rate. Sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from room_agent.fence import plain

TOPIC = "lk.chat"
"""LiveKit's topic for text from participants."""

Why = Literal["taken", "too often", "too long", "empty", "not whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """How long a message may be, and how fast one participant may write: `burst` at once, then one each `every_s`."""

    max_bytes: int = 8_192
    burst: int = 5
    every_s: float = 2.0
    read_timeout_s: float = 5.0
    max_senders: int = 512
    """Of more participants than this the ones who wrote longest ago are forgotten."""


@dataclass(slots=True)
class ChatCounts:
    """What became of the messages."""

    taken: int = 0
    too_often: int = 0
    too_long: int = 0
    empty: int = 0
    not_whole: int = 0

    def count(self, why: Why) -> None:
        name = why.replace(" ", "_")
        setattr(self, name, getattr(self, name) + 1)

    def report(self) -> dict[str, float]:
        """Return the counts as a heartbeat carries them."""
        return {f"chat_{name}": count for name, count in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message; `text` is what is left of it to read, empty unless it is taken."""

    why: Why
    text: str = ""

    @property
    def taken(self) -> bool:
        return self.why == "taken"


class Reader(Protocol):
    """A text stream on its way in, such as LiveKit's."""

    def __aiter__(self) -> AsyncIterator[str]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Bucket:
    messages: float
    filled_at_s: float


class Chat:
    """One room's messages. Each participant spends from a bucket of their own, so a flood costs its sender alone.

    A bucket outlives its participant: to leave and come back fills nothing.
    """

    def __init__(self, settings: ChatSettings | None = None) -> None:
        self._settings = settings or ChatSettings()
        self._buckets: dict[str, _Bucket] = {}
        self.counts = ChatCounts()

    def decide(self, message: str, sender: str, now_s: float) -> Verdict:
        """Return what becomes of a message that is whole; `sender` is an identity, which no participant can choose."""
        return self._counted(self._judged(message) if self._admit(sender, now_s) else Verdict("too often"))

    async def receive(self, reader: Reader, sender: str, now_s: float) -> Verdict:
        """Read a message off its stream and return what becomes of it.

        A stream beyond its sender's rate is not read at all, a long one no further than it may be long.
        """
        try:
            if not self._admit(sender, now_s):
                return self._counted(Verdict("too often"))
            async with asyncio.timeout(self._settings.read_timeout_s):
                return self._counted(self._judged(await self._read(reader)))
        except (TimeoutError, ConnectionError):
            # A stream that stops, is broken off or is refused by the SDK ends as a ConnectionError.
            return self._counted(Verdict("not whole"))
        finally:
            reader.close()

    async def _read(self, reader: Reader) -> str:
        pieces: list[str] = []
        size_bytes = 0
        async for piece in reader:
            pieces.append(piece)
            size_bytes += len(piece.encode("utf-8", "replace"))
            if size_bytes > self._settings.max_bytes:
                break
        return "".join(pieces)

    def _admit(self, sender: str, now_s: float) -> bool:
        """Take one message from the sender's bucket, if one is in it."""
        settings = self._settings
        bucket = self._buckets.pop(sender, None) or _Bucket(settings.burst, now_s)
        filled = bucket.messages + max(0.0, now_s - bucket.filled_at_s) / settings.every_s
        bucket.messages, bucket.filled_at_s = min(settings.burst, filled), now_s
        # Put back last, so that the first is the one who wrote longest ago.
        self._buckets[sender] = bucket
        if len(self._buckets) > settings.max_senders:
            del self._buckets[next(iter(self._buckets))]
        if bucket.messages < 1:
            return False
        bucket.messages -= 1
        return True

    def _judged(self, message: str) -> Verdict:
        if len(message.encode("utf-8", "replace")) > self._settings.max_bytes:
            return Verdict("too long")
        text = plain(message, self._settings.max_bytes)
        return Verdict("taken", text) if text else Verdict("empty")

    def _counted(self, verdict: Verdict) -> Verdict:
        self.counts.count(verdict.why)
        return verdict
