"""The log of all requests: every billed unit, but no content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

MAX_ENTRIES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request and what the vendor charges for it; times are seconds of the emulator's clock.

    `prompt_tokens` includes cached, cache-write and image tokens; `completion_tokens` includes thinking tokens.
    A broken stream is charged for the tokens produced so far, any other answer in full.
    """

    path: str
    vendor: str
    model: str
    stream: bool = False
    status: int = 0
    """0 until the status line has been sent."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    thinking_tokens: int = 0
    image_tokens: int = 0
    images: int = 0
    image_px: int = 0
    audio_ms: int = 0
    characters: int = 0
    keyterms: int = 0
    """How many key terms the request had, for which Deepgram charges extra."""
    tools: int = 0
    """How many tools the request offered."""
    tool_calls: int = 0
    """How many calls the answer holds."""
    service_tier: str | None = None
    """The service tier that the answer names."""
    sent_tokens: int = 0
    """The number of text tokens written to the connection so far."""
    arrived_at_s: float = 0.0
    answered_at_s: float | None = None
    ended_at_s: float | None = None
    disconnected_at_s: float | None = None
    """When the client disconnected, if it did so before the end of the response."""

    @property
    def cache_write_tokens(self) -> int:
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens


class RequestLog(Sequence[LoggedRequest]):
    """The newest requests in order of arrival, including those in flight."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[int, LoggedRequest] = OrderedDict()
        self._next = 0

    def open(self, entry: LoggedRequest) -> int:
        """Add an entry and return its number."""
        number, self._next = self._next, self._next + 1
        self._entries[number] = entry
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        return number

    def change(self, number: int, **changes: Any) -> None:
        """Update an entry; does nothing if the entry was evicted."""
        if number in self._entries:
            self._entries[number] = replace(self._entries[number], **changes)

    def line(self, number: int) -> LoggedRequest | None:
        return self._entries.get(number)

    def clear(self) -> None:
        self._entries.clear()

    @overload
    def __getitem__(self, index: int) -> LoggedRequest: ...

    @overload
    def __getitem__(self, index: slice) -> list[LoggedRequest]: ...

    def __getitem__(self, index: int | slice) -> LoggedRequest | list[LoggedRequest]:
        return list(self._entries.values())[index]

    def __iter__(self) -> Iterator[LoggedRequest]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)
