"""Faults to inject, and the requests they apply to."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import ConfigDict

from routing.errors import TooLarge

MAX_PLANNED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """Tokens that a vendor counts in addition to the text and the images it received."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    cached_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    thinking_tokens: int = 0

    @property
    def cache_tokens(self) -> int:
        return self.cached_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens

    def with_cache(self, other: Extras) -> Extras:
        """Return these counts with the cached and written tokens of `other` added."""
        return replace(
            self,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_5m_tokens=self.cache_write_5m_tokens + other.cache_write_5m_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The fault of one request. A chunk is one piece of text; protocol frames do not count."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    status: int | None = None
    code: str | None = None
    """The vendor's error code; by default, the one that the vendor sends with this status."""
    message: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    """Sent in the vendor's own form: Retry-After, or Gemini's RetryInfo."""
    html: bool = False
    """Answer with an HTML page, as a proxy in front of the vendor does. The status is 502 unless `status` is set."""
    garbage: bool = False
    """Answer 200 with invalid JSON."""
    delay_s: float = 0.0
    """Wait before the first byte."""
    stall_after_chunks: int | None = None
    stall_s: float = 600.0
    cut_after_chunks: int | None = None
    """End cleanly after this many chunks, without the finish marker."""
    overload_after_chunks: int | None = None
    """Send the overload error inside the stream, after HTTP 200. A request without a stream is refused."""
    reset_after_chunks: int | None = None
    """Break the connection after this many chunks."""
    reset_after_bytes: int | None = None
    """Break the connection after this many bytes of the body; at 0, before the status line."""
    close_code: int | None = None
    """Close a WebSocket with this code, and `code` as its reason, after `cut_after_chunks`."""
    refusal: Literal["refused", "filtered"] | None = None
    """The model declines, or the vendor's filter stops its answer."""
    empty: bool = False
    unreported_usage: bool = False
    """Omit the usage."""
    usage_first: bool = False
    """Send a stream's usage in its first chunk, before any output is counted, and not in its last."""
    served_tier: str | None = None
    """Serve, and name in the answer, another service tier than the requested one."""
    foreign_tool: bool = False
    """Call a tool that was not offered."""
    broken_arguments: bool = False
    """Call an offered tool with arguments that are not JSON."""
    answer_tokens: int | None = None
    """The length of the answer, if it differs from the emulator's setting."""
    extras: Extras | None = None


@dataclass(slots=True)
class _Planned:
    fault: Fault
    vendor: str | None
    model: str | None
    times_left: int
    share: float

    def matches(self, vendor: str, model: str) -> bool:
        return self.vendor in (None, vendor) and self.model in (None, model)


class Faults:
    """The planned faults. A request takes the oldest one that matches its vendor and model.

    A fault with a share below 1 applies to that share of the requests; the others may take the next planned fault.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random(7)
        self._planned: list[_Planned] = []

    def plan(
        self,
        fault: Fault,
        *,
        vendor: str | None = None,
        model: str | None = None,
        times: int = 1,
        share: float = 1.0,
    ) -> None:
        """Plan a fault for the next `times` requests. Raises TooLarge above 10,000 planned faults."""
        if len(self._planned) >= MAX_PLANNED:
            raise TooLarge(f"{MAX_PLANNED} faults are planned already.", "faults")
        self._planned.append(_Planned(fault, vendor, model, times, share))

    def append(self, fault: Fault) -> None:
        self.plan(fault)

    def take(self, vendor: str, model: str) -> Fault:
        """Return the fault of this request; `Fault()` if there is none."""
        matching = (planned for planned in self._planned if planned.matches(vendor, model))
        planned = next(
            (candidate for candidate in matching if candidate.share >= 1 or self._rng.random() < candidate.share), None
        )
        if planned is None:
            return Fault()
        planned.times_left -= 1
        if planned.times_left <= 0:
            self._planned.remove(planned)
        return planned.fault

    def clear(self) -> None:
        self._planned.clear()

    def __len__(self) -> int:
        return sum(planned.times_left for planned in self._planned)
