"""Decide from samples whether a process grows: its memory, open files, sockets, threads, and its event loop's tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median

WARM_UP_SHARE = 0.4
"""The share of a run in which caches and pools may fill."""
WINDOW_SHARE = 0.2
FEWEST_SAMPLES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSample:
    """A process at one time."""

    at_s: float
    memory_mb: float
    files: int
    sockets: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSample:
    """The number of tasks of an event loop at one time."""

    at_s: float
    tasks: float


Sample = ProcessSample | LoopSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The growth between two windows of a run that is still noise: absolute, or as a share of the first window."""

    absolute: float
    share: float = 0.0


ALLOWED: Mapping[str, Allowed] = {
    # Allocators keep freed pages, and a replica's caches fill for as long as new rooms come.
    "memory_mb": Allowed(absolute=8.0, share=0.06),
    "files": Allowed(absolute=6, share=0.1),
    "sockets": Allowed(absolute=6, share=0.15),
    "threads": Allowed(absolute=3, share=0.1),
    # A sample falls between or into requests, each of which has a few tasks.
    "tasks": Allowed(absolute=25, share=0.25),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One figure after the warm-up and at the end: its median in each window, of tasks the fewest."""

    figure: str
    before: float
    after: float

    @property
    def holds(self) -> bool:
        allowed = ALLOWED[self.figure]
        return self.after - self.before <= max(allowed.absolute, allowed.share * self.before)


def growths(samples: Sequence[Sample], began_s: float, ended_s: float) -> list[Growth]:
    """Return the growth of each figure; none for a process that did not live from the warm-up to the end."""
    length_s = ended_s - began_s
    first_s, last_s = began_s + WARM_UP_SHARE * length_s, ended_s - WINDOW_SHARE * length_s
    before = [one for one in samples if first_s <= one.at_s < first_s + WINDOW_SHARE * length_s]
    after = [one for one in samples if last_s <= one.at_s <= ended_s]
    if len(samples) < FEWEST_SAMPLES or not before or not after:
        return []
    return [
        Growth(
            figure=field.name,
            before=_figure(field.name, before),
            after=_figure(field.name, after),
        )
        for field in fields(samples[0])
        if field.name in ALLOWED
    ]


def _figure(name: str, window: Sequence[Sample]) -> float:
    values: list[float] = [getattr(one, name) for one in window]
    # Waiting requests have tasks too, for as long as a vendor is slow. A leak is left when they have ended.
    return min(values) if name == "tasks" else median(values)
