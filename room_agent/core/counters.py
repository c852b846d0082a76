"""Counts a room's frames and answers for its heartbeats."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from routing.latency import percentile

REMEMBERED_ANSWERS = 256


@dataclass(slots=True)
class Counters:
    """Counters since the job began. A frame seen is kept or repeated; a kept one is answered, reused or shed.

    Unreadable frames and encrypted tracks are counted apart.
    """

    frames_seen: int = 0
    frames_kept: int = 0
    frames_repeated: int = 0
    frames_muted: int = 0
    """Repeated frames of a screen with a region that never rests."""
    frames_unreadable: int = 0
    frames_reused: int = 0
    frames_shed: int = 0
    answers: int = 0
    answers_lost: int = 0
    tracks_watched: int = 0
    tracks_encrypted: int = 0
    look_ms: float = 0.0
    """The time from taking a frame to its verdict, with the wait for a thread, of all frames."""
    answer_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ANSWERS))

    def answered(self, took_s: float) -> None:
        """Count an answer and store its time, of which the last `REMEMBERED_ANSWERS` are kept."""
        self.answers += 1
        self.answer_s.append(took_s)

    def report(self) -> dict[str, float]:
        """Return the counters, and percentiles of the answer times in milliseconds once there are any."""
        times = sorted(self.answer_s)
        counts = {
            "frames_seen": self.frames_seen,
            "frames_kept": self.frames_kept,
            "frames_repeated": self.frames_repeated,
            "frames_muted": self.frames_muted,
            "frames_unreadable": self.frames_unreadable,
            "frames_reused": self.frames_reused,
            "frames_shed": self.frames_shed,
            "answers": self.answers,
            "answers_lost": self.answers_lost,
            "tracks_watched": self.tracks_watched,
            "tracks_encrypted": self.tracks_encrypted,
            "look_ms": round(self.look_ms, 1),
            "cpu_ms": round(1_000 * time.process_time()),
        }
        if not times:
            return dict(counts)
        return counts | {
            "answer_p50_ms": 1_000 * percentile(times, 0.5),
            "answer_p95_ms": 1_000 * percentile(times, 0.95),
        }


@dataclass(slots=True)
class Delays:
    """The delays of one kind: their number, their sum, and the last `REMEMBERED_ANSWERS`."""

    count: int = 0
    total_s: float = 0.0
    last_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ANSWERS))

    def add(self, delay_s: float) -> None:
        self.count += 1
        self.total_s += delay_s
        self.last_s.append(delay_s)

    def percentiles(self, name: str) -> dict[str, float]:
        """Return the percentiles of the last delays in milliseconds; nothing before the first."""
        ordered = sorted(self.last_s)
        if not ordered:
            return {}
        return {f"{name}_p50_ms": 1_000 * percentile(ordered, 0.5), f"{name}_p95_ms": 1_000 * percentile(ordered, 0.95)}
