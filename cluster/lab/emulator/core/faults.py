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
    """Tokens a vendor counts beside those of the text and the pictures it was sent."""

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
    """The vendor's own code; without it, the one that vendor gives with this status."""
    message: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    """Sent in the vendor's own form: Retry-After, or Gemini's RetryInfo."""
    html: bool = False
    """Answer as a proxy in front of the vendor does: a page of HTML, with status 502 unless `status` says another."""
    garbage: bool = False
    """Answer 200 with something that is not JSON."""
    delay_s: float = 0.0
    """Wait so long before the first byte."""
    stall_after_chunks: int | None = None
    stall_s: float = 600.0
    cut_after_chunks: int | None = None
    """End cleanly after so many chunks, without the finish marker."""
    overload_after_chunks: int | None = None
    """Say inside a stream, after HTTP 200, that the vendor is overloaded; an answer that is no stream is refused."""
    reset_after_chunks: int | None = None
    """Break the connection after so many chunks."""
    reset_after_bytes: int | None = None
    """Break the connection after so many bytes of the body; at 0, before the status line."""
    close_code: int | None = None
    """Close a WebSocket with this code, and `code` as its reason, after `cut_after_chunks`."""
    refusal: Literal["refused", "filtered"] | None = None
    """The model declines, or the vendor's filter stops its answer."""
    empty: bool = False
    untold_usage: bool = False
    """Leave the usage out."""
    usage_first: bool = False
    """Send a stream's usage in its first chunk, where no output is counted yet, and none in its last."""
    served_tier: str | None = None
    """Serve, and name in the answer, another service tier than the requested one."""
    foreign_tool: bool = False
    """Call a tool that nobody offered."""
    broken_arguments: bool = False
    """Call an offered tool with arguments that are not JSON."""
    answer_tokens: int | None = None
    """How long the answer is, where it differs from the emulator's setting."""
    extras: Extras | None = None


@dataclass(slots=True)
class _Planned:
    fault: Fault
    vendor: str | None
    model: str | None
    left: int
    share: float

    def meets(self, vendor: str, model: str) -> bool:
        return self.vendor in (None, vendor) and self.model in (None, model)


class Faults:
    """The planned faults. A request takes the oldest one that matches its vendor and model.

    One with a share below 1 meets that part of the requests; those it spares may meet the next one planned.
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
        """Return the fault of this request, which may be none: `Fault()`."""
        meeting = (planned for planned in self._planned if planned.meets(vendor, model))
        planned = next((one for one in meeting if one.share >= 1 or self._rng.random() < one.share), None)
        if planned is None:
            return Fault()
        planned.left -= 1
        if planned.left <= 0:
            self._planned.remove(planned)
        return planned.fault

    def clear(self) -> None:
        self._planned.clear()

    def __len__(self) -> int:
        return sum(planned.left for planned in self._planned)
