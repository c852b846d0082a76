"""Convert the app's usage samples, one a second, into a run's traffic. A second without a sample is unknown."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.lab.demo.contact_sheet import SheetFrame
from cluster.lab.stack.plan import VOICE_ROOM
from routing.latency import percentile

Usages = Mapping[str, Mapping[str, Any]]
Counters = Mapping[str, float]
_COUNTS = {
    "seen": "frames_seen",
    "repeats": "frames_repeated",
    "kept": "frames_kept",
    "answered": "answers",
    "shed": "frames_shed",
}
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """Each tenant's usage from the app at one moment, in UNIX time."""

    at_s: float
    usages: Usages


def rooms_of(usages: Usages) -> dict[str, Counters]:
    """Return the counters of each room, including the voice room."""
    return {room["room"]: room["counters"] for usage in usages.values() for room in usage.get("rooms", [])}


def screens_of(usages: Usages) -> dict[str, Counters]:
    return {room: counters for room, counters in rooms_of(usages).items() if room != VOICE_ROOM}


def count(counters: Mapping[str, Counters], name: str) -> int:
    """Return one of record.TRAFFIC's counts over rooms."""
    return sum(int(room.get(_COUNTS[name], 0)) for room in counters.values())


def traffic_rows(samples: Sequence[UsageSample], frames: Sequence[SheetFrame], start_s: float) -> list[dict[str, Any]]:
    """Return a row a second of record.TRAFFIC; a second's counts arrived with its heartbeats.

    `frames` are the answered ones, in seconds from `start_s`.
    """
    rows: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    previous: dict[str, Counters] = {}
    for sample in samples:
        counters = rooms_of(sample.usages)
        row = rows[int(sample.at_s - start_s)]
        for name in _COUNTS:
            row[name] = row.get(name, 0) + _growth(previous, counters, _COUNTS[name])
        row["questions"] = row.get("questions", 0) + _growth(previous, counters, "hearing_utterances")
        row["rooms"] = len(screens_of(sample.usages))
        row["failed"] = 0
        previous |= counters
    for second, waits_ms in _waits_ms(frames).items():
        rows[second] |= {"p50_ms": percentile(waits_ms, 0.5), "p95_ms": percentile(waits_ms, 0.95)}
    return [{"at_s": float(second), **rows[second]} for second in range(max(rows, default=-1) + 1)]


def latency_rows(frames: Sequence[SheetFrame]) -> list[dict[str, Any]]:
    """Return rows of record.LATENCY: the quantiles that the number of answers supports, and the maximum."""
    waits_ms = sorted(frame.answer_ms for frame in frames if frame.answer_ms is not None)
    supported = [quantile for quantile in _QUANTILES if (1 - quantile) * len(waits_ms) >= 1]
    return [
        {"service": "vision", "part": "whole", "quantile": quantile, "ms": percentile(waits_ms, quantile)}
        for quantile in ([*supported, 1.0] if waits_ms else [])
    ]


def _growth(previous: Mapping[str, Counters], current: Mapping[str, Counters], name: str) -> int:
    """Return the growth of a count; a restarted agent counts from zero."""
    growth = 0.0
    for room, counters in current.items():
        previous_count, count = previous.get(room, {}).get(name, 0), counters.get(name, 0)
        growth += count - previous_count if count >= previous_count else count
    return int(growth)


def _waits_ms(frames: Sequence[SheetFrame]) -> dict[int, list[float]]:
    waits: defaultdict[int, list[float]] = defaultdict(list)
    for frame in frames:
        if frame.answer_ms is not None and frame.at_s >= 0:
            waits[math.floor(frame.at_s)].append(frame.answer_ms)
    return {second: sorted(values) for second, values in waits.items()}
