"""Tells which text messages are read: short, whole, visible, and from each at their own rate. Sends nothing."""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from room_agent.text.quoting import plain

TOPIC = "lk.chat"
"""LiveKit's topic for text from participants."""

Why = Literal["taken", "too often", "too many at once", "too long", "empty", "not whole", "too early"]

# Colours, links and titles of a terminal, whole: without its first character the rest would be text.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """How long a message may be, and how fast one participant may write: `burst` at once, then one each `every_s`."""

    max_bytes: int = 8_192
    burst: int = 5
    every_s: float = 2.0
    read_timeout_s: float = 5.0
    most_open: int = 5
    """So many of one sender's messages may be on their way in: as many as the burst, which may come all at once."""
    most_open_in_all: int = 64
    known_within_s: float = 5.0
    """How long a message waits for the news of who its sender is: it may overtake that by seconds."""
    most_early: int = 16
    """So many messages wait while the agent is not ready yet."""
    told_every_s: float = 10.0
    """How often one sender is told that a message was not read."""
    max_senders: int = 512
    """Of more participants than this the ones who wrote longest ago are forgotten."""


@dataclass(slots=True)
class ChatCounts:
    """What became of the messages."""

    taken: int = 0
    too_often: int = 0
    too_many_at_once: int = 0
    too_long: int = 0
    empty: int = 0
    not_whole: int = 0
    too_early: int = 0

    def count(self, why: Why) -> None:
        name = why.replace(" ", "_")
        setattr(self, name, getattr(self, name) + 1)

    def report(self) -> dict[str, float]:
        """Return the counts as a heartbeat carries them."""
        return {f"chat_{name}": count for name, count in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class MessageVerdict:
    """What becomes of a message; `text` is what is left of it to read, empty unless it is taken."""

    why: Why
    text: str = ""

    @property
    def taken(self) -> bool:
        return self.why == "taken"


class StreamReader(Protocol):
    """A text stream on its way in, such as LiveKit's."""

    def __aiter__(self) -> AsyncIterator[str]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Bucket:
    messages: float
    filled_at_s: float
    told_at_s: float = -math.inf


class ChatLimits:
    """One room's messages. Each participant spends from a bucket of their own, so a flood costs its sender alone.

    A bucket outlives its participant: to leave and come back fills nothing. A sender is an identity, which no
    participant can choose.
    """

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings
        self._buckets: dict[str, _Bucket] = {}

    def refused(self, sender: str, open_now: int, now_s: float) -> Why | None:
        """Return why a message that begins is not read, None where it is; `open_now` of its sender's are being read."""
        if not self._admit(sender, now_s):
            return "too often"
        return "too many at once" if open_now >= self._settings.most_open else None

    def may_tell(self, sender: str, now_s: float) -> bool:
        """Return whether a sender is told now that a message was not read; then not again for some time."""
        bucket = self._buckets.get(sender)
        if bucket is None or now_s - bucket.told_at_s < self._settings.told_every_s:
            return False
        bucket.told_at_s = now_s
        return True

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


async def read(reader: StreamReader, settings: ChatSettings) -> MessageVerdict:
    """Read a message off its stream, no further than it may be long, and return what becomes of it."""
    try:
        async with asyncio.timeout(settings.read_timeout_s):
            return judged(await _pieces(reader, settings.max_bytes), settings)
    except (TimeoutError, ConnectionError):
        # A stream that stops, is broken off or is refused by the SDK ends as a ConnectionError.
        return MessageVerdict("not whole")
    finally:
        reader.close()


async def _pieces(reader: StreamReader, max_bytes: int) -> str:
    pieces: list[str] = []
    size_bytes = 0
    async for piece in reader:
        pieces.append(piece)
        size_bytes += len(piece.encode("utf-8", "replace"))
        if size_bytes > max_bytes:
            break
    return "".join(pieces)


def judged(message: str, settings: ChatSettings) -> MessageVerdict:
    """Return what becomes of a message that is whole."""
    if len(message.encode("utf-8", "replace")) > settings.max_bytes:
        return MessageVerdict("too long")
    text = plain(_ESCAPES.sub("", message), settings.max_bytes)
    return MessageVerdict("taken", text) if any(_shows(char) for char in text) else MessageVerdict("empty")


def refusal(why: Why, settings: ChatSettings) -> str:
    """Return what the sender of a message that was not read is told; nothing where there was nothing to read."""
    because = {
        "too often": f"after {settings.burst} at once I read one every {settings.every_s:g} seconds. "
        "Please write it again, more slowly.",
        "too many at once": "too many were being sent at once. Please write it again when the others are sent.",
        "too long": f"it is longer than {settings.max_bytes} bytes. Please write a shorter one.",
        "not whole": f"it did not arrive whole within {settings.read_timeout_s:g} seconds. Please send it again.",
        "too early": f"more than {settings.most_early} came before I was ready. Please write it again.",
    }.get(why)
    return f"Your message was not read: {because}" if because else ""


def _shows(char: str) -> bool:
    # An unassigned character may be an emoji that this Python's tables are too old for.
    return unicodedata.category(char)[0] in "LNPS" or unicodedata.category(char) == "Cn"
