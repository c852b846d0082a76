"""Rate limits, concurrency limits and load of the emulated vendors. The clock is an argument."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from routing.ratelimit import TokenBucket

MAX_BUCKETS = 10_000
BUSY_RETRY_S = 1.0
"""The retry delay for concurrency limits, where the time of the next free slot is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """The limits of one API key for one model; None means no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorLoad:
    """How latency grows with concurrent requests, for each model separately.

    Up to `free` requests in flight run at full speed; each `capacity` more adds the whole time once again, as a batch
    that is served in turns does. Beyond `most` the vendor is overloaded.
    """

    free: int = 64
    capacity: int = 64
    most: int | None = None

    def slowdown(self, in_flight: int) -> float:
        """Return the factor by which latency grows."""
        return 1 + max(0, in_flight - self.free) / self.capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitGauge:
    """The current state of one limit; after `reset_s` it is full again."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """The state of a key's limits, as response headers report it."""

    requests: LimitGauge | None = None
    tokens: LimitGauge | None = None
    in_flight: int = 0
    concurrent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRejection:
    """Which limit rejected a request, and after how many seconds to retry."""

    reason: Literal["requests", "tokens", "concurrent", "overloaded"]
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class InFlightSlot:
    """The vendor, model and API key by which requests in flight are counted."""

    vendor: str
    model: str
    key: str = field(repr=False)


@dataclass(slots=True)
class _MinuteLimit(TokenBucket):
    """A token bucket that holds one minute's limit and refills evenly."""

    limit: int

    def charge(self, amount: float, now_s: float) -> float:
        """Take `amount` and return 0, or take nothing and return the seconds until the bucket holds it."""
        return self.take(now_s, self.limit / 60, self.limit, amount)

    def gauge(self) -> LimitGauge:
        return LimitGauge(
            limit=self.limit, remaining=int(self.tokens), reset_s=(self.limit - self.tokens) * 60 / self.limit
        )


class Capacity:
    """The token buckets of each key and model, and the requests in flight."""

    def __init__(self, limits: RateLimits, load: VendorLoad | None = None) -> None:
        self.limits, self.load = limits, load or VendorLoad()
        self._buckets: OrderedDict[tuple[InFlightSlot, str], _MinuteLimit] = OrderedDict()
        self._in_flight_by_key: Counter[InFlightSlot] = Counter()
        self._in_flight_by_model: Counter[tuple[str, str]] = Counter()

    def admit(self, slot: InFlightSlot, tokens: int, now_s: float) -> LoadRejection | None:
        """Charge a request to its buckets. Returns the rejection or None; a rejected request is charged too."""
        wait_s = self._take(slot, "requests", 1, now_s)
        if wait_s:
            return LoadRejection(reason="requests", retry_after_s=wait_s)
        wait_s = self._take(slot, "tokens", tokens, now_s)
        if wait_s:
            return LoadRejection(reason="tokens", retry_after_s=wait_s)
        if self.limits.concurrent is not None and self._in_flight_by_key[slot] >= self.limits.concurrent:
            return LoadRejection(reason="concurrent", retry_after_s=BUSY_RETRY_S)
        if self.load.most is not None and self.in_flight(slot) >= self.load.most:
            return LoadRejection(reason="overloaded", retry_after_s=BUSY_RETRY_S)
        return None

    def enter(self, slot: InFlightSlot) -> None:
        self._in_flight_by_key[slot] += 1
        self._in_flight_by_model[slot.vendor, slot.model] += 1

    def leave(self, slot: InFlightSlot) -> None:
        self._in_flight_by_key[slot] -= 1
        self._in_flight_by_model[slot.vendor, slot.model] -= 1
        if not self._in_flight_by_key[slot]:
            # Keys come and go, so counters at zero are removed.
            del self._in_flight_by_key[slot]

    def in_flight(self, slot: InFlightSlot) -> int:
        """Return the model's requests in flight over all keys."""
        return self._in_flight_by_model[slot.vendor, slot.model]

    def slowdown(self, slot: InFlightSlot) -> float:
        return self.load.slowdown(self.in_flight(slot))

    def limit_status(self, slot: InFlightSlot) -> LimitStatus:
        requests, tokens = (self._buckets.get((slot, kind)) for kind in ("requests", "tokens"))
        return LimitStatus(
            requests=requests.gauge() if requests else None,
            tokens=tokens.gauge() if tokens else None,
            in_flight=self._in_flight_by_key[slot],
            concurrent=self.limits.concurrent,
        )

    def _take(self, slot: InFlightSlot, kind: str, amount: int, now_s: float) -> float:
        limit = self.limits.requests_per_minute if kind == "requests" else self.limits.tokens_per_minute
        if limit is None:
            return 0.0
        bucket = self._buckets.setdefault((slot, kind), _MinuteLimit(limit, now_s, limit))
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket.charge(amount, now_s)
