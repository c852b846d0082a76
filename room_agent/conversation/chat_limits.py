"""Reads chat messages within limits: length, time, and one rate limit per sender."""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from cachetools import FIFOCache

from room_agent.text.quoting import plain
from routing.ratelimit import TokenBucket

TOPIC = "lk.chat"
"""LiveKit's topic for chat messages."""
NOTIFY_EVERY_S = 10.0
"""The shortest interval between two notices to one sender."""

ChatOutcome = Literal["taken", "too often", "too many at once", "too long", "empty", "not whole", "too early"]

# Terminal escapes (colours, links, titles) are removed whole: without the first character the rest would be text.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """Limits of a message's length, and of one sender's rate: `burst` at once, then one each `every_s`."""

    max_bytes: int = 8_192
    burst: int = 5
    every_s: float = 2.0
    read_timeout_s: float = 5.0
    most_open: int = 5
    """One sender's messages being read at once: equal to `burst`, which may arrive all at once."""
    most_open_in_all: int = 64
    known_within_s: float = 5.0
    """The longest wait for a sender to appear among the participants: a message may arrive seconds earlier."""
    most_early: int = 16
    """Messages held until the agent is ready."""
    max_senders: int = 512
    """The buckets kept; the least recently used is dropped."""


@dataclass(slots=True)
class ChatCounts:
    """The number of messages by outcome."""

    taken: int = 0
    too_often: int = 0
    too_many_at_once: int = 0
    too_long: int = 0
    empty: int = 0
    not_whole: int = 0
    too_early: int = 0

    def count(self, outcome: ChatOutcome) -> None:
        """Count one message."""
        name = outcome.replace(" ", "_")
        setattr(self, name, getattr(self, name) + 1)

    def report(self) -> dict[str, float]:
        """Return the counters of a heartbeat."""
        return {f"chat_{name}": count for name, count in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class MessageVerdict:
    """The outcome of reading a message; `text` is its cleaned text, empty unless it is taken."""

    outcome: ChatOutcome
    text: str = ""

    @property
    def taken(self) -> bool:
        return self.outcome == "taken"


class StreamReader(Protocol):
    """An incoming text stream, such as LiveKit's."""

    def __aiter__(self) -> AsyncIterator[str]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Sender:
    bucket: TokenBucket
    notified_at_s: float = -math.inf


class ChatLimits:
    """One room's rate limits: a token bucket per sender, so a flood costs only its sender.

    A bucket outlives its participant: reconnecting does not refill it. Senders are identities, which come from the
    token and cannot be chosen by a participant.
    """

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings
        self._senders: FIFOCache[str, _Sender] = FIFOCache(settings.max_senders)

    def refused(self, sender: str, open_now: int, now_s: float) -> ChatOutcome | None:
        """Return the outcome that rejects a new message, or None; `open_now` of the sender's are being read."""
        if not self._admit(sender, now_s):
            return "too often"
        return "too many at once" if open_now >= self._settings.most_open else None

    def may_notify(self, sender: str, now_s: float) -> bool:
        """Return whether a sender may be notified now; then not again for `NOTIFY_EVERY_S`."""
        known = self._senders.get(sender)
        if known is None or now_s - known.notified_at_s < NOTIFY_EVERY_S:
            return False
        known.notified_at_s = now_s
        return True

    def _admit(self, sender: str, now_s: float) -> bool:
        """Take one message from the sender's bucket, if it holds one."""
        settings = self._settings
        known = self._senders.get(sender) or _Sender(TokenBucket(settings.burst, now_s))
        # Set again, so that the sender of the oldest message is the next one dropped.
        self._senders[sender] = known
        return known.bucket.take(now_s, 1 / settings.every_s, settings.burst) == 0


async def read_message(reader: StreamReader, settings: ChatSettings) -> MessageVerdict:
    """Read a message from its stream, no further than its longest length, and return the outcome."""
    try:
        async with asyncio.timeout(settings.read_timeout_s):
            return check_message(await _read_text(reader, settings.max_bytes), settings)
    except (TimeoutError, ConnectionError):
        # The SDK raises ConnectionError for a stream that is aborted or refused.
        return MessageVerdict("not whole")
    finally:
        reader.close()


async def _read_text(reader: StreamReader, max_bytes: int) -> str:
    pieces: list[str] = []
    size_bytes = 0
    async for piece in reader:
        pieces.append(piece)
        size_bytes += len(piece.encode("utf-8", "replace"))
        if size_bytes > max_bytes:
            break
    return "".join(pieces)


def check_message(message: str, settings: ChatSettings) -> MessageVerdict:
    """Return the outcome of a complete message."""
    if len(message.encode("utf-8", "replace")) > settings.max_bytes:
        return MessageVerdict("too long")
    text = plain(_ESCAPES.sub("", message), settings.max_bytes)
    return MessageVerdict("taken", text) if any(_is_visible(char) for char in text) else MessageVerdict("empty")


def refusal_text(outcome: ChatOutcome, settings: ChatSettings) -> str:
    """Return the notice for the sender of a rejected message; empty where no notice is due."""
    reason = {
        "too often": f"after {settings.burst} at once I read one every {settings.every_s:g} seconds. "
        "Please write it again, more slowly.",
        "too many at once": "too many were being sent at once. Please write it again when the others are sent.",
        "too long": f"it is longer than {settings.max_bytes} bytes. Please write a shorter one.",
        "not whole": f"it did not arrive whole within {settings.read_timeout_s:g} seconds. Please send it again.",
        "too early": f"more than {settings.most_early} came before I was ready. Please write it again.",
    }.get(outcome)
    return f"Your message was not read: {reason}" if reason else ""


def _is_visible(char: str) -> bool:
    # An unassigned character may be an emoji that this Python's tables are too old for.
    return unicodedata.category(char)[0] in "LNPS" or unicodedata.category(char) == "Cn"
