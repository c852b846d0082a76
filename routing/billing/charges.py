"""The charge of one attempt: its usage as far as it is known, and the price of that.

The router and the model replica of an attempt compute it in the same way, each from the pieces that it received.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from routing.billing.usage_means import UsageMeans
from routing.chat import ToolCall, ToolCallDelta
from routing.errors import ConfigurationError, ProviderError, ProviderTruncated, RayroomError, ReplicaLost
from routing.models import Delta, Usage
from routing.prices import Price

PACE_FROM_S = 0.2
"""Pieces that came within a shorter time tell no pace: several of them may have waited in one read."""
NOTICED_AFTER_S = 0.02
"""The time until a vendor notices the end of its connection: half a round trip of 40 ms."""
MOST_UNDER_WAY_S = 1.0
"""The longest silence in which a vendor is taken to have gone on.

Pieces come every 10 to 100 ms, and a healthy event loop of ours is late by less than 0.1 s. After ten times as long the
vendor has stalled, or this process was stopped: more is no longer likely, and a stalled vendor bills nothing.
"""


@dataclass(slots=True)
class ReceivedAnswer:
    """The part of an answer that has arrived, and the usage that its vendor has reported. `clock` is monotonic."""

    clock: Callable[[], float]
    usage: Usage | None = None
    """The vendor's final usage."""
    usage_so_far: Usage | None = None
    service_tier: str | None = None
    """The tier that the vendor served, by its own name."""
    finished: bool = False
    text_bytes: int = 0
    """Of visible text and tool calls."""
    thinking_bytes: int = 0
    _uncounted_bytes: int = 0
    """The bytes that `usage_so_far` does not count."""
    _first_bytes: int = 0
    _first_at_s: float = 0.0
    _last_at_s: float = 0.0

    @property
    def begun(self) -> bool:
        """Return whether anything has arrived."""
        return self.finished or self.usage_so_far is not None or self.text_bytes + self.thinking_bytes > 0

    def add(self, delta: Delta) -> None:
        """Add a piece of a streamed answer."""
        self._add_text(delta.text + written_calls(delta.tool_calls), delta.thinking_bytes)
        self.service_tier = delta.service_tier or self.service_tier
        self.finished = self.finished or delta.finish is not None
        if self.finished:
            self.usage = delta.usage or self.usage
        usage_so_far = delta.usage_so_far if self.finished else delta.usage or delta.usage_so_far
        if usage_so_far is not None:
            self.usage_so_far = usage_so_far
            if usage_so_far.output_tokens:
                self._uncounted_bytes = 0

    def add_whole(self, usage: Usage | None, text: str = "", service_tier: str | None = None) -> None:
        """Add a whole answer: all that the model wrote, and its usage, None where the vendor reported none."""
        self._add_text(text, 0)
        self.usage, self.service_tier, self.finished = usage, service_tier, True

    @property
    def bytes_per_s(self) -> float | None:
        """Return the pace of the text after its first piece; None where its time was too short to tell."""
        time_s = self._last_at_s - self._first_at_s
        return (self.text_bytes - self._first_bytes) / time_s if time_s >= PACE_FROM_S else None

    def bytes_under_way(self, means: UsageMeans) -> float:
        """Return the bytes that a vendor has presumably written since the last piece, while its connection ended.

        It wrote at the pace so far, or at the mean pace of its model.
        """
        if not self.text_bytes:
            return 0.0
        silent_s = max(0.0, self.clock() - self._last_at_s) + NOTICED_AFTER_S
        return min(silent_s, MOST_UNDER_WAY_S) * (self.bytes_per_s or means.bytes_per_s)

    def estimate(self, most: Usage, means: UsageMeans, *, writing: bool = False) -> Usage:
        """Return the usage of an unfinished answer: the vendor's own so far, and the text that came after it.

        `writing` says that nothing but the end of its connection stopped the vendor.
        """
        known = self.usage_so_far or replace(means.expected(most), output_tokens=0)
        thinking_tokens = self._thinking_tokens(known, most, means)
        output_tokens = known.output_tokens + means.tokens_of(self._uncounted_bytes)
        if writing and not self.finished:
            output_tokens += math.ceil(self.bytes_under_way(means) / means.bytes_per_token)
        if not known.output_tokens:
            output_tokens += thinking_tokens
        return replace(
            known,
            output_tokens=min(output_tokens, most.output_tokens),
            thinking_tokens=min(thinking_tokens, most.output_tokens),
            image_px=most.image_px,
        )

    def _thinking_tokens(self, known: Usage, most: Usage, means: UsageMeans) -> int:
        """Return the thinking tokens. A vendor that counts the output so far counts its thinking too."""
        if known.output_tokens:
            return known.thinking_tokens
        received = means.tokens_of(self.thinking_bytes)
        return received or means.thinking_tokens(most)

    def _add_text(self, text: str, thinking_bytes: int) -> None:
        added = len(text.encode("utf-8", "replace"))
        if added:
            self._last_at_s = self.clock()
            if not self.text_bytes:
                self._first_bytes, self._first_at_s = added, self._last_at_s
        self.text_bytes += added
        self.thinking_bytes += thinking_bytes
        self._uncounted_bytes += added


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The bill of one attempt. `estimated` means that it is not the vendor's own final usage."""

    usage: Usage = field(default_factory=Usage)
    cost_nanousd: int = 0
    estimated: bool = False
    unpriced_unit: str | None = None
    """A unit that the vendor reported and that has no price here: the reservation is billed instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """The terms of one attempt: its price, the most that it can use, and the tier that it requests."""

    price: Price
    most: Usage
    requested_tier: str | None = None
    means: UsageMeans = field(default_factory=UsageMeans)

    @property
    def reservation_nanousd(self) -> int:
        """Return the most that the vendor can invoice at the requested tier."""
        return self._cost_nanousd(self.most, None)

    def expected(self) -> Charge:
        """Return the estimate of an attempt whose answer is unknown."""
        usage = self.means.expected(self.most)
        return Charge(usage=usage, cost_nanousd=self._cost_nanousd(usage, None), estimated=True)

    def charge(
        self, received: ReceivedAnswer, error: BaseException | None, streamed: bool, left: bool | None = None
    ) -> Charge:
        """Return the bill of an attempt that has ended, with `error` or without.

        `streamed` says that each piece was received as the vendor sent it, so that nothing received is nothing made.
        `left` is None where it is unknown whether the request left for the vendor.
        """
        if received.usage is not None:
            return self._priced(received.usage, received.service_tier, estimated=False)
        if isinstance(error, ProviderError) and error.spent is not None:
            return self._priced(error.spent, received.service_tier, estimated=error.spent != Usage())
        if left is False or (_is_free(error) and not received.begun):
            return Charge()
        if received.begun or (streamed and not _is_unreadable(error)):
            usage = received.estimate(self.most, self.means, writing=_was_writing(error))
            return self._priced(usage, received.service_tier, estimated=True)
        return self.expected()

    def _priced(self, usage: Usage, service_tier: str | None, *, estimated: bool) -> Charge:
        try:
            cost_nanousd = self._cost_nanousd(usage, service_tier)
        except ConfigurationError as unpriced:
            # The vendor's answer is good, whatever its units.
            unit, cost_nanousd = unpriced.param, self.reservation_nanousd
            return Charge(usage=usage, cost_nanousd=cost_nanousd, estimated=True, unpriced_unit=unit)
        return Charge(usage=usage, cost_nanousd=cost_nanousd, estimated=estimated)

    def _cost_nanousd(self, usage: Usage, service_tier: str | None) -> int:
        """Return the price at the tier that the vendor names, else the dearer of standard and requested."""
        cost_nanousd = self.price.cost_nanousd(usage, service_tier)
        if service_tier is not None or self.requested_tier is None:
            return cost_nanousd
        return max(cost_nanousd, self.price.cost_nanousd(usage, self.requested_tier))


def is_cancelled(error: BaseException | None) -> bool:
    """Return whether the caller left."""
    return isinstance(error, asyncio.CancelledError | GeneratorExit)


def written_calls(calls: Iterable[ToolCall | ToolCallDelta]) -> str:
    """Return the part of tool calls that the model wrote, as one text."""
    return "".join(f"{call.name or ''}{call.arguments}" for call in calls)


def _is_free(error: BaseException | None) -> bool:
    """Return whether no vendor charges for an error that came before any piece of an answer.

    A vendor that answers with an error status charges nothing. Any other error, a caller that left or a bug, may have
    come after the vendor's work.
    """
    if isinstance(error, ProviderError):
        return not error.billable or "vendor_status" in error.facts
    return isinstance(error, RayroomError)


def _was_writing(error: BaseException | None) -> bool:
    """Return whether the vendor was writing until its connection ended: the caller or our replica was lost.

    A vendor that sent an error wrote no more, and before a timeout it was silent while this process would have read.
    """
    return is_cancelled(error) or isinstance(error, ReplicaLost)


def _is_unreadable(error: BaseException | None) -> bool:
    """Return whether the vendor made an answer that its adapter could not read."""
    return isinstance(error, ProviderTruncated) and error.facts.get("phase") == "parse"
