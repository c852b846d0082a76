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
MAX_BYTES = 8_192
BURST, EVERY_S = 5, 2.0
"""One sender's rate: so many messages at once, then one each `EVERY_S`."""
MAX_OPEN_PER_SENDER = BURST
"""One sender's messages being read at once: a burst may arrive all at once."""
MAX_EARLY = 16
"""Messages held until the agent is ready."""
MAX_SENDERS = 512
"""The buckets kept; the least recently used is dropped."""
READ_TIMEOUT_S = 5.0
NOTIFY_EVERY_S = 10.0
"""The shortest interval between two notices to one sender."""

ChatOutcome = Literal["taken", "too often", "too many at once", "too long", "empty", "not whole", "too early"]

# Terminal escapes (colours, links, titles) are removed whole: without the first character the rest would be text.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)


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

    def __init__(self) -> None:
        self._senders: FIFOCache[str, _Sender] = FIFOCache(MAX_SENDERS)

    def refused(self, sender: str, open_now: int, now_s: float) -> ChatOutcome | None:
        """Return the outcome that rejects a new message, or None; `open_now` of the sender's are being read."""
        if not self._admit(sender, now_s):
            return "too often"
        return "too many at once" if open_now >= MAX_OPEN_PER_SENDER else None

    def may_notify(self, sender: str, now_s: float) -> bool:
        """Return whether a sender may be notified now; then not again for `NOTIFY_EVERY_S`."""
        record = self._senders.get(sender)
        if record is None or now_s - record.notified_at_s < NOTIFY_EVERY_S:
            return False
        record.notified_at_s = now_s
        return True

    def _admit(self, sender: str, now_s: float) -> bool:
        """Take one message from the sender's bucket, if it holds one."""
        record = self._senders.get(sender) or _Sender(TokenBucket(BURST, now_s))
        # Set again, so that the sender of the oldest message is the next one dropped.
        self._senders[sender] = record
        return record.bucket.take(now_s, 1 / EVERY_S, BURST) == 0


async def read_message(reader: StreamReader) -> MessageVerdict:
    """Read a message from its stream, no further than its longest length, and return the outcome."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return check_message(await read_text(reader, MAX_BYTES))
    except (TimeoutError, ConnectionError):
        # The SDK raises ConnectionError for a stream that is aborted or refused.
        return MessageVerdict("not whole")
    finally:
        reader.close()


async def read_text(reader: StreamReader, max_bytes: int) -> str:
    """Return the text of a stream, or a little more than its first `max_bytes`."""
    chunks: list[str] = []
    size_bytes = 0
    async for chunk in reader:
        chunks.append(chunk)
        size_bytes += len(chunk.encode("utf-8", "replace"))
        if size_bytes > max_bytes:
            break
    return "".join(chunks)


def check_message(message: str) -> MessageVerdict:
    """Return the outcome of a complete message."""
    if len(message.encode("utf-8", "replace")) > MAX_BYTES:
        return MessageVerdict("too long")
    text = plain(_ESCAPES.sub("", message), MAX_BYTES)
    return MessageVerdict("taken", text) if any(_is_visible(char) for char in text) else MessageVerdict("empty")


def refusal_text(outcome: ChatOutcome) -> str:
    """Return the notice for the sender of a rejected message; empty where no notice is due."""
    reason = {
        "too often": f"after {BURST} at once I read one every {EVERY_S:g} seconds. Please write it again, more slowly.",
        "too many at once": "too many were being sent at once. Please write it again when the others are sent.",
        "too long": f"it is longer than {MAX_BYTES} bytes. Please write a shorter one.",
        "not whole": f"it did not arrive whole within {READ_TIMEOUT_S:g} seconds. Please send it again.",
        "too early": f"more than {MAX_EARLY} came before I was ready. Please write it again.",
    }.get(outcome)
    return f"Your message was not read: {reason}" if reason else ""


def _is_visible(char: str) -> bool:
    # An unassigned character may be an emoji that this Python's tables are too old for.
    return unicodedata.category(char)[0] in "LNPS" or unicodedata.category(char) == "Cn"
