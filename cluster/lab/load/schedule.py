"""Decides when what a synthetic room does is due, what is shed, and whose time an answer took. Knows no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from room_agent.video.forward import KeptFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class DueFrame:
    """A kept frame, and the moment it was due: its latency counts from there, whenever it was really sent."""

    due_s: float
    sent: KeptFrame = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRequest:
    """One request: when it was sent, when its answer was whole, and how much of that was the vendor's."""

    started_s: float
    ended_s: float
    vendor_s: float = 0.0

    @property
    def vendor_share(self) -> float:
        took_s = self.ended_s - self.started_s
        return min(self.vendor_s / took_s, 1.0) if took_s > 0 else 0.0


@dataclass(slots=True)
class UploadSlot:
    """One frame waits while one is in flight; a newer frame takes its place, as in the room agent's forwarder."""

    waiting: DueFrame | None = None

    def offer(self, frame: DueFrame) -> DueFrame | None:
        """Put a frame in; returns the one it displaced, which is shed."""
        displaced, self.waiting = self.waiting, frame
        return displaced

    def take(self) -> DueFrame | None:
        frame, self.waiting = self.waiting, None
        return frame


@dataclass(slots=True)
class FrameSchedule:
    """When a room's next frame is due: fixed by its join and its rate, whatever becomes of the frames before."""

    due_s: float

    def next(self, frames_per_second: float) -> float:
        """Return when a frame is due; the one after it is a period later, however late this one is looked at."""
        due_s = self.due_s
        self.due_s += 1 / frames_per_second
        return due_s


def question_times(join_at_s: float, leave_at_s: float, every_s: float, seed: tuple[int, int]) -> list[float]:
    """Return when a room's questions are due: exponential, and the same for the same seed."""
    rng = np.random.default_rng(seed)
    times, at_s = [], join_at_s
    while (at_s := at_s + float(rng.exponential(every_s))) < leave_at_s:
        times.append(at_s)
    return times


def own_s(due_s: float, exchange: TimedRequest, before: TimedRequest | None) -> float:
    """Return how much of an answer's time, counted from the moment the frame was due, was not the vendor's.

    Of the time it waited for the answer before it, as large a share is the vendor's as of that answer's time.
    """
    vendor_s = exchange.vendor_s
    if before is not None:
        waited_s = min(before.ended_s, exchange.started_s) - max(due_s, before.started_s)
        vendor_s += max(0.0, waited_s) * before.vendor_share
    return max(0.0, exchange.ended_s - due_s - vendor_s)
