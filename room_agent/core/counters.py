"""Counts a room's frames and answers for its heartbeats."""

from __future__ import annotations

import asyncio
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
    frames_unreadable: int = 0
    frames_reused: int = 0
    frames_shed: int = 0
    answers: int = 0
    answers_lost: int = 0
    tracks_watched: int = 0
    tracks_encrypted: int = 0
    first_frame: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a frame was seen."""
    answer_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ANSWERS))

    def saw_frame(self) -> None:
        self.frames_seen += 1
        self.first_frame.set()

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
            "frames_unreadable": self.frames_unreadable,
            "frames_reused": self.frames_reused,
            "frames_shed": self.frames_shed,
            "answers": self.answers,
            "answers_lost": self.answers_lost,
            "tracks_watched": self.tracks_watched,
            "tracks_encrypted": self.tracks_encrypted,
        }
        if not times:
            return dict(counts)
        return counts | {
            "answer_p50_ms": 1_000 * percentile(times, 0.5),
            "answer_p95_ms": 1_000 * percentile(times, 0.95),
        }
