"""Splits the time of one spoken turn into its stages, the vendors' share and the remaining overhead."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.lab.emulator import LatencyModel

LLM, STT, TTS, SEARCH = "model", "hearing", "voice", "search"
VENDOR_OF = {"nova": STT, "eleven": TTS, "voyage": SEARCH}
STAGES = {
    "heard": "end of speech to final transcript, with the pause",
    "asked": "transcript to request",
    "worded": "request to first token",
    "sounded": "first token to first sound heard",
    "voiced": "  of it until the voice has a sentence",
    "total": "end of speech to first sound heard",
    "vendors": "  of it the vendors, after the pause",
    "own": "own share: all but the pause and the vendors",
}

Span = tuple[float, float]
Row = dict[str, float]
"""One turn: milliseconds by the key of STAGES."""


@dataclass
class Stamps:
    """Timestamps of one turn by `time.monotonic`; only the first of each kind is stored."""

    turn_started_s: float = 0.0
    """When the question was complete and its turn started."""
    requested_s: float = 0.0
    first_token_s: float = 0.0
    """When the first word of the answer arrived."""

    def begin(self) -> None:
        self.turn_started_s = self.requested_s = self.first_token_s = 0.0

    def turn_started(self) -> None:
        self.turn_started_s = self.turn_started_s or time.monotonic()

    def requested(self) -> None:
        self.requested_s = self.requested_s or time.monotonic()

    def first_token(self) -> None:
        self.first_token_s = self.first_token_s or time.monotonic()


@dataclass(frozen=True, slots=True)
class VendorLatency:
    """One latency that the emulator drew for a vendor."""

    vendor: str
    at_s: float
    duration_s: float
    first: bool

    @property
    def end_s(self) -> float:
        return self.at_s + self.duration_s


class RecordedLatencyModel(LatencyModel):
    """A latency model that records each latency and its time; all contestants draw the same latencies in one `turn`."""

    def __init__(self, turn: int, speed: float) -> None:
        super().__init__(random.Random(), speed)
        self._rng_of = {vendor: random.Random(f"{vendor} {turn}") for vendor in (LLM, STT, TTS, SEARCH)}
        self.latencies: list[VendorLatency] = []

    def first_token_s(self, model: str, slowdown: float = 1.0) -> float:
        self._rng = self._rng_of[_vendor_of(model)]
        return self._record(model, super().first_token_s(model, slowdown), True)

    def next_token_s(self, model: str, slowdown: float = 1.0) -> float:
        return self._record(model, super().next_token_s(model, slowdown), False)

    def _record(self, model: str, duration_s: float, first: bool) -> float:
        self.latencies.append(VendorLatency(_vendor_of(model), time.monotonic(), duration_s, first))
        return duration_s


def _vendor_of(model: str) -> str:
    return next((vendor for name, vendor in VENDOR_OF.items() if model.startswith(name)), LLM)


def row_of(
    silent_at_s: float, stamps: Stamps, audible_at_s: float, latencies: Sequence[VendorLatency], pause_s: float
) -> Row:
    """Return a turn's stages in milliseconds. Overlapping vendor times and the pause are counted once."""
    turn_started_s = min(stamps.turn_started_s, stamps.requested_s)
    speech_started_s = min(
        (latency.at_s for latency in latencies if latency.vendor == TTS and latency.at_s >= stamps.first_token_s),
        default=audible_at_s,
    )
    total_s = audible_at_s - silent_at_s
    spans = [
        _span(latency, stamps.requested_s)
        for latency in latencies
        if _delayed_turn(latency, turn_started_s, speech_started_s)
    ]
    vendors_s = covered_s(spans, (silent_at_s + pause_s, audible_at_s))
    row_s = {
        "heard": turn_started_s - silent_at_s,
        "asked": stamps.requested_s - turn_started_s,
        "worded": stamps.first_token_s - stamps.requested_s,
        "sounded": audible_at_s - stamps.first_token_s,
        "voiced": speech_started_s - stamps.first_token_s,
        "total": total_s,
        "vendors": vendors_s,
        "own": total_s - pause_s - vendors_s,
    }
    return {stage: 1_000 * seconds for stage, seconds in row_s.items()}


def covered_s(spans: Iterable[Span], interval: Span) -> float:
    """Return the length of the union of the spans within `interval`."""
    total_s, end_s = 0.0, interval[0]
    for start_s, span_end_s in sorted(spans):
        start_s, span_end_s = max(start_s, end_s), min(span_end_s, interval[1])
        if span_end_s > start_s:
            total_s, end_s = total_s + span_end_s - start_s, span_end_s
    return total_s


def _span(latency: VendorLatency, requested_s: float) -> Span:
    """Return the time span of a vendor; a late search counts up to the request only."""
    return latency.at_s, min(latency.end_s, requested_s) if latency.vendor == SEARCH else latency.end_s


def _delayed_turn(latency: VendorLatency, turn_started_s: float, speech_started_s: float) -> bool:
    """Return whether this latency delayed the turn; a transcript after the turn's start did not."""
    if latency.vendor == STT:
        return latency.end_s <= turn_started_s
    if latency.vendor == TTS:
        return latency.first and latency.at_s == speech_started_s
    return latency.at_s <= speech_started_s
