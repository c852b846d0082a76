"""Splits the time of one spoken turn into its stages, the vendors' share, and the remaining overhead."""

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
    """When each part of one turn began, by `time.monotonic`; the first time counts."""

    taken_s: float = 0.0
    """The question is complete, and its turn has come."""
    requested_s: float = 0.0
    worded_s: float = 0.0
    """The first word of the answer has arrived."""

    def begin(self) -> None:
        self.taken_s = self.requested_s = self.worded_s = 0.0

    def taken(self) -> None:
        self.taken_s = self.taken_s or time.monotonic()

    def requested(self) -> None:
        self.requested_s = self.requested_s or time.monotonic()

    def worded(self) -> None:
        self.worded_s = self.worded_s or time.monotonic()


@dataclass(frozen=True, slots=True)
class VendorLatency:
    """One latency that the emulator drew for a vendor."""

    vendor: str
    at_s: float
    takes_s: float
    first: bool

    @property
    def until_s(self) -> float:
        return self.at_s + self.takes_s


class Timekeeper(LatencyModel):
    """A latency model that records every draw and its time. In one `turn` all contestants draw the same latencies."""

    def __init__(self, turn: int, speed: float) -> None:
        super().__init__(random.Random(), speed)
        self._rng_of = {vendor: random.Random(f"{vendor} {turn}") for vendor in (LLM, STT, TTS, SEARCH)}
        self.drawn: list[VendorLatency] = []

    def first_token_s(self, model: str, slowdown: float = 1.0) -> float:
        self._rng = self._rng_of[_vendor_of(model)]
        return self._keep(model, super().first_token_s(model, slowdown), True)

    def next_token_s(self, model: str, slowdown: float = 1.0) -> float:
        return self._keep(model, super().next_token_s(model, slowdown), False)

    def _keep(self, model: str, takes_s: float, first: bool) -> float:
        self.drawn.append(VendorLatency(_vendor_of(model), time.monotonic(), takes_s, first))
        return takes_s


def _vendor_of(model: str) -> str:
    return next((vendor for name, vendor in VENDOR_OF.items() if model.startswith(name)), LLM)


def row_of(silent_s: float, stamps: Stamps, audible_s: float, drawn: Sequence[VendorLatency], pause_s: float) -> Row:
    """Return a turn's milliseconds. Vendor time within the pause, or parallel to another vendor's, counts once."""
    taken_s = min(stamps.taken_s, stamps.requested_s)
    voiced_s = min((one.at_s for one in drawn if one.vendor == TTS and one.at_s >= stamps.worded_s), default=audible_s)
    total_s = audible_s - silent_s
    spans = [_span(one, stamps.requested_s) for one in drawn if _was_waited_for(one, taken_s, voiced_s)]
    vendors_s = covered_s(spans, (silent_s + pause_s, audible_s))
    row_s = {
        "heard": taken_s - silent_s,
        "asked": stamps.requested_s - taken_s,
        "worded": stamps.worded_s - stamps.requested_s,
        "sounded": audible_s - stamps.worded_s,
        "voiced": voiced_s - stamps.worded_s,
        "total": total_s,
        "vendors": vendors_s,
        "own": total_s - pause_s - vendors_s,
    }
    return {stage: 1_000 * seconds for stage, seconds in row_s.items()}


def covered_s(spans: Iterable[Span], within: Span) -> float:
    """Return the length of the union of the spans within a stretch."""
    total_s, end_s = 0.0, within[0]
    for start_s, until_s in sorted(spans):
        start_s, until_s = max(start_s, end_s), min(until_s, within[1])
        if until_s > start_s:
            total_s, end_s = total_s + until_s - start_s, until_s
    return total_s


def _span(drawn: VendorLatency, requested_s: float) -> Span:
    """Return the time span of a vendor; a late search counts up to the request only."""
    return drawn.at_s, min(drawn.until_s, requested_s) if drawn.vendor == SEARCH else drawn.until_s


def _was_waited_for(drawn: VendorLatency, taken_s: float, voiced_s: float) -> bool:
    """Return whether a turn waited for this: a transcript after the turn's start did not delay it."""
    if drawn.vendor == STT:
        return drawn.until_s <= taken_s
    if drawn.vendor == TTS:
        return drawn.first and drawn.at_s == voiced_s
    return drawn.at_s <= voiced_s
