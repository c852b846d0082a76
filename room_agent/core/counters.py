"""Counts a room's frames and answers for its heartbeats."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from routing.latency import percentile

REMEMBERED_ANSWERS = 256
SILENT_S = 60.0
"""A room that has not reported for so long has ended."""


class ProcessorTime:
    """The processor time of this process, divided between the rooms in it. Rooms of several threads share one."""

    def __init__(self, process_s: Callable[[], float], clock: Callable[[], float]) -> None:
        self._process_s = process_s
        self._clock = clock
        self._reported: dict[object, tuple[float, float]] = {}
        """The process's time and the clock's at each room's last report."""

    def since_last(self, room: object) -> float:
        """Return a room's share in seconds since its last report; for its first one since the process began."""
        process_s, now_s = self._process_s(), self._clock()
        last_s, _ = self._reported.get(room, (process_s if self._reported else 0.0, now_s))
        self._reported[room] = (process_s, now_s)
        for other, (_, at_s) in list(self._reported.items()):
            if now_s - at_s > SILENT_S:
                self._reported.pop(other, None)
        return (process_s - last_s) / len(self._reported)


PROCESSOR_TIME = ProcessorTime(time.process_time, time.monotonic)


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
    cpu_ms: float = 0.0
    """The share of the process's time."""
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
        self.cpu_ms += 1_000 * PROCESSOR_TIME.since_last(id(self))
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
            "cpu_ms": round(self.cpu_ms),
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
