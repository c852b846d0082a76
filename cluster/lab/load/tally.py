"""Count the outcomes of the frames and questions of synthetic rooms, second by second."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import numpy as np

from cluster.lab.scenario.arrivals import Floats, Ints
from routing.latency import percentile

RECENT_ANSWERS = 512


class FrameOutcome(IntEnum):
    """The outcome of a kept frame: `SHED` was displaced by a newer one or rejected, `FAILED` is any other end."""

    ANSWERED = 0
    SHED = 1
    FAILED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """An answer: its time from the moment it was due, that time without the vendor's part, and its cost."""

    whole_s: float
    own_s: float
    cost_nanousd: int = 0
    output_tokens: int = 0


NO_ANSWER = Timed(whole_s=math.nan, own_s=math.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Frames or questions, one per row. Times are NaN without an answer."""

    due_s: Floats
    outcome: Ints
    tenant: Ints
    whole_ms: Floats
    own_ms: Floats
    cost_nanousd: Ints
    output_tokens: Ints

    def __len__(self) -> int:
        return len(self.due_s)

    @classmethod
    def concatenated(cls, parts: Sequence[Rows]) -> Rows:
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardCounts:
    """The counts of a shard: frames seen and repeated by second and tenant, and a row for each kept one."""

    seen: Ints
    """By second and tenant."""
    repeats: Ints
    frames: Rows
    questions: Rows
    late_ms: Floats
    """The driver's own delay of each frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a shard, for the display."""

    rooms: int = 0
    seen: int = 0
    kept: int = 0
    answered: int = 0
    shed: int = 0
    failed: int = 0
    questions: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    own_p95_ms: float | None = None


@dataclass(slots=True)
class _Columns:
    due_s: list[float] = field(default_factory=list)
    outcome: list[int] = field(default_factory=list)
    tenant: list[int] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    own_ms: list[float] = field(default_factory=list)
    cost_nanousd: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)

    def add(self, due_s: float, tenant: int, outcome: FrameOutcome, answer: Timed) -> None:
        self.due_s.append(due_s)
        self.tenant.append(tenant)
        self.outcome.append(outcome)
        self.whole_ms.append(1_000 * answer.whole_s)
        self.own_ms.append(1_000 * answer.own_s)
        self.cost_nanousd.append(answer.cost_nanousd)
        self.output_tokens.append(answer.output_tokens)

    def rows(self) -> Rows:
        return Rows(
            due_s=np.array(self.due_s, np.float64),
            outcome=np.array(self.outcome, np.int64),
            tenant=np.array(self.tenant, np.int64),
            whole_ms=np.array(self.whole_ms, np.float64),
            own_ms=np.array(self.own_ms, np.float64),
            cost_nanousd=np.array(self.cost_nanousd, np.int64),
            output_tokens=np.array(self.output_tokens, np.int64),
        )


class Tally:
    """The counts of one shard."""

    def __init__(self, length_s: float, tenants: int) -> None:
        shape = (math.ceil(length_s) + 1, tenants)
        self._seen = np.zeros(shape, np.int64)
        self._repeats = np.zeros(shape, np.int64)
        self._frames = _Columns()
        self._questions = _Columns()
        self._late_ms: list[float] = []
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_ANSWERS)
        self._outcomes = [0, 0, 0]
        self.rooms = 0

    def add_seen(self, due_s: float, tenant: int, repeat: bool, late_s: float) -> None:
        """Count a captured frame."""
        second = min(int(due_s), len(self._seen) - 1)
        self._seen[second, tenant] += 1
        if repeat:
            self._repeats[second, tenant] += 1
        self._late_ms.append(1_000 * late_s)

    def add_frame(self, due_s: float, tenant: int, outcome: FrameOutcome, answer: Timed | None = None) -> None:
        """Count the outcome of a kept frame."""
        self._outcomes[outcome] += 1
        if answer is not None:
            self._recent.append((1_000 * answer.whole_s, 1_000 * answer.own_s))
        self._frames.add(due_s, tenant, outcome, answer or NO_ANSWER)

    def add_question(self, due_s: float, tenant: int, outcome: FrameOutcome, answer: Timed | None = None) -> None:
        self._questions.add(due_s, tenant, outcome, answer or NO_ANSWER)

    def progress(self) -> Progress:
        seen, repeats = int(self._seen.sum()), int(self._repeats.sum())
        answered, shed, failed = self._outcomes
        whole, own = (sorted(times) for times in zip(*self._recent, strict=True)) if self._recent else ([], [])
        return Progress(
            rooms=self.rooms,
            seen=seen,
            kept=seen - repeats,
            answered=answered,
            shed=shed,
            failed=failed,
            questions=len(self._questions.due_s),
            p50_ms=percentile(whole, 0.5) if whole else None,
            p95_ms=percentile(whole, 0.95) if whole else None,
            own_p95_ms=percentile(own, 0.95) if own else None,
        )

    def counts(self) -> ShardCounts:
        return ShardCounts(
            seen=self._seen,
            repeats=self._repeats,
            frames=self._frames.rows(),
            questions=self._questions.rows(),
            late_ms=np.array(self._late_ms, np.float64),
        )


def merge_counts(parts: Sequence[ShardCounts]) -> ShardCounts:
    """Return the counts of several shards as one."""
    return ShardCounts(
        seen=np.sum([part.seen for part in parts], axis=0),
        repeats=np.sum([part.repeats for part in parts], axis=0),
        frames=Rows.concatenated([part.frames for part in parts]),
        questions=Rows.concatenated([part.questions for part in parts]),
        late_ms=np.concatenate([part.late_ms for part in parts]),
    )


def merge_progress(parts: Sequence[Progress]) -> Progress:
    """Return the progress of several shards as one, with the worst of their times."""
    names = [field.name for field in fields(Progress)]
    counts = {name: sum(getattr(part, name) for part in parts) for name in names if not name.endswith("_ms")}
    times = {name: [getattr(part, name) for part in parts] for name in names if name.endswith("_ms")}
    worst = {
        name: max((field for field in values if field is not None), default=None) for name, values in times.items()
    }
    merged: dict[str, Any] = {**counts, **worst}
    return Progress(**merged)
