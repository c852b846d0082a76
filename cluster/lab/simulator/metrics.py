"""Count the outcome of every simulated request by second and by tenant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluster.lab.scenario.arrivals import Floats, Ints
from cluster.lab.simulator.request_queue import QueuedRequests
from cluster.lab.simulator.workload import WorkloadPeriod

STEP = 1.005
"""The width of a histogram bin: half a percent, which bounds the error of a quantile."""
MIN_MS = 0.1
BINS = 4_000
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
COUNTS = ("rooms", "seen", "repeats", "kept", "answered", "shed", "failed", "questions")


@dataclass(slots=True)
class Histogram:
    """A histogram of durations; its memory does not grow with their number."""

    counts: Ints = field(default_factory=lambda: np.zeros(BINS, dtype=np.int64))

    def add(self, ms: Floats) -> None:
        bins = np.log(np.maximum(ms, MIN_MS) / MIN_MS) / math.log(STEP)
        self.counts += np.bincount(np.minimum(bins.astype(np.int64), BINS - 1), minlength=BINS)

    def quantile(self, share: float) -> float | None:
        """Return the middle of the bin that holds the quantile, in milliseconds; None if empty."""
        total = int(self.counts.sum())
        if not total:
            return None
        at = int(np.searchsorted(np.cumsum(self.counts), max(1, math.ceil(share * total))))
        return float(MIN_MS * STEP ** (at + 0.5))


@dataclass(slots=True)
class _OpenSecond:
    """The answer times of a second with frames still unanswered."""

    whole_ms: list[Floats] = field(default_factory=list)
    own_ms: list[Floats] = field(default_factory=list)


class SimulatorMetrics:
    """The sums of one run. A frame belongs to the second in which it was due, whenever it is answered."""

    def __init__(self, length_s: float, warm_up_s: float, tenant_of_room: Ints, tenants: int) -> None:
        self._warm_up_s, self._tenant_of, self._tenants = warm_up_s, tenant_of_room, tenants
        self._last_second = math.ceil(length_s) - 1
        self.seconds: dict[str, Ints] = {name: np.zeros(self._last_second + 1, dtype=np.int64) for name in COUNTS}
        self.percentiles = np.full((self._last_second + 1, 3), np.nan)
        """By second: p50, p95 and own p95, in milliseconds."""
        self.histograms = {(service, part): Histogram() for service in ("vision", "llm") for part in ("whole", "own")}
        self.by_tenant: dict[str, Ints] = {
            name: np.zeros(tenants, dtype=np.int64) for name in ("seen", "kept", "answered", "cost_nanousd")
        }
        self.cost_nanousd = 0
        self.counted_cost_nanousd = 0
        self.output_tokens = 0
        self.questions_lost = 0
        self._open: dict[int, _OpenSecond] = {}

    def add_period(self, period: WorkloadPeriod) -> None:
        """Count the frames and questions due in a period."""
        second = self._second(period.from_s)
        self.seconds["rooms"][second] = max(self.seconds["rooms"][second], period.open_rooms)
        self.seconds["seen"][second] += period.open_rooms
        self.seconds["repeats"][second] += period.open_rooms - len(period.kept_rooms)
        self.seconds["kept"][second] += len(period.kept_rooms)
        self.seconds["questions"][second] += len(period.question_rooms)
        self.by_tenant["seen"] += period.seen_by_tenant
        self._by_tenant("kept", period.kept_rooms)

    def add_answers(
        self, service: str, requests: QueuedRequests, whole_s: Floats, own_s: Floats, cost_nanousd: Ints, tokens: Ints
    ) -> None:
        """Count answers."""
        # A frame that waited in its room is sent after some frames that were due later.
        order = np.argsort(requests.due_s, kind="stable")
        requests, whole_s, own_s = requests.part(order), whole_s[order], own_s[order]
        cost_nanousd, tokens = cost_nanousd[order], tokens[order]
        self.cost_nanousd += int(cost_nanousd.sum())
        first_counted = int(np.searchsorted(requests.due_s, self._warm_up_s))
        self.counted_cost_nanousd += int(cost_nanousd[first_counted:].sum())
        whole_ms, own_ms = whole_s * 1_000, own_s * 1_000
        self.histograms[service, "whole"].add(whole_ms[first_counted:])
        self.histograms[service, "own"].add(own_ms[first_counted:])
        if service != "vision":
            return
        self.output_tokens += int(tokens.sum())
        self._by_tenant("answered", requests.room)
        self._by_tenant("cost_nanousd", requests.room, cost_nanousd)
        for second, part in self._parts(requests):
            self.seconds["answered"][second] += part.stop - part.start
            times = self._open.setdefault(second, _OpenSecond())
            times.whole_ms.append(whole_ms[part])
            times.own_ms.append(own_ms[part])

    def add_lost(self, service: str, outcome: str, requests: QueuedRequests) -> None:
        """Count requests without an answer: `outcome` is shed or failed."""
        if service != "vision":
            self.questions_lost += len(requests)
            return
        for second, part in self._parts(requests.part(np.argsort(requests.due_s, kind="stable"))):
            self.seconds[outcome][second] += part.stop - part.start

    def close(self, before_s: float) -> None:
        """Compute the percentiles of the seconds that receive no further answers."""
        for second in [second for second in self._open if second + 1 <= before_s]:
            times = self._open.pop(second)
            whole_ms, own_ms = np.concatenate(times.whole_ms), np.concatenate(times.own_ms)
            self.percentiles[second] = (*np.percentile(whole_ms, (50, 95)), np.percentile(own_ms, 95))

    def latency_rows(self) -> list[Mapping[str, Any]]:
        return [
            {"service": service, "part": part, "quantile": share, "ms": ms}
            for (service, part), histogram in self.histograms.items()
            for share in QUANTILES
            if (ms := histogram.quantile(share)) is not None
        ]

    def _parts(self, requests: QueuedRequests) -> list[tuple[int, slice]]:
        """Return the seconds in which requests were due, and the slice of each."""
        if not len(requests):
            return []
        first, last = self._second(float(requests.due_s[0])), self._second(float(requests.due_s[-1]))
        if first == last:
            return [(first, slice(0, len(requests)))]
        cuts = np.searchsorted(requests.due_s, np.arange(first + 1, last + 1)).tolist()
        parts = zip(range(first, last + 1), [0, *cuts], [*cuts, len(requests)], strict=True)
        return [(second, slice(start, stop)) for second, start, stop in parts if stop > start]

    def _second(self, at_s: float) -> int:
        return min(int(at_s), self._last_second)

    def _by_tenant(self, name: str, rooms: Ints, weights: Ints | None = None) -> None:
        tenants = self._tenant_of[rooms]
        if weights is None:
            self.by_tenant[name] += np.bincount(tenants, minlength=self._tenants)
        else:
            # The sums of a tick are far below 2**53, so floats lose nothing.
            self.by_tenant[name] += np.bincount(tenants, weights, self._tenants).astype(np.int64)
