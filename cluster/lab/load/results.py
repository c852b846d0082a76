"""Turn the counts of a load into a run: tables, totals and verdicts."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluster.config.settings import AppSettings
from cluster.lab.load.prometheus import AppSamples
from cluster.lab.load.tally import FrameOutcome, Rows, ShardCounts
from cluster.lab.results import record
from cluster.lab.results.savings import FrameCounts, mean_tokens, price_note, strong_frame, tenant_row
from cluster.lab.results.targets import room_hours, seconds_missing_targets, verdicts
from cluster.lab.scenario.arrivals import Floats, Ints, ScheduledRooms, tenant_name
from cluster.lab.scenario.scenario import Scenario

QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrivenLoad:
    """The counts of a load that ran, completely or in part."""

    scenario: Scenario
    rooms: ScheduledRooms
    tenants: int
    counts: ShardCounts
    samples: AppSamples
    elapsed_s: float
    """The seconds of the scenario that were run."""
    lost_rooms: int = 0
    """Rooms lost with their shard; no table includes them."""
    driver_cpu_s: float | None = None
    app_cpu_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNotes:
    """The description of a run beside its figures."""

    kind: record.Kind
    command: str
    started_at: dt.datetime
    complete: bool = True
    simulated: bool = True
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def run_of(driven: DrivenLoad, app: AppSettings, notes: RunNotes) -> record.Run:
    """Return the run that `rayroom load` saves."""
    seconds = _Seconds(driven)
    totals = _totals(driven, seconds)
    tenants, prices_note = _tenants(driven, app, notes.started_at.date())
    summary = record.Summary(
        kind=notes.kind,
        name=driven.scenario.name,
        command=notes.command,
        started_at=notes.started_at.isoformat(timespec="seconds"),
        complete=notes.complete,
        simulated=notes.simulated,
        machine=record.this_machine(),
        scenario=driven.scenario.model_dump(mode="json"),
        totals=totals,
        verdicts=verdicts(driven.scenario.targets, totals),
        notes=(*notes.notes, prices_note),
        details=dict(notes.details),
    )
    events = sorted(driven.samples.events, key=lambda event: float(event["at_s"]))
    return record.Run(
        summary=summary,
        replicas=record.table(record.REPLICAS, driven.samples.replicas),
        traffic=record.table(record.TRAFFIC, seconds.rows()),
        latency=record.table(record.LATENCY, _latency(driven)),
        tenants=record.table(record.TENANTS, tenants),
        events=record.table(record.EVENTS, events),
    )


class _Seconds:
    """A load second by second."""

    def __init__(self, driven: DrivenLoad) -> None:
        counts = driven.counts
        self.count = max(1, math.ceil(min(driven.elapsed_s, driven.scenario.length_s)))
        at_s = np.arange(self.count, dtype=np.float64)
        self.rooms = _open_at(driven.rooms, at_s)
        self.seen = _by_second(counts.seen.sum(axis=1), self.count)
        self.repeats = _by_second(counts.repeats.sum(axis=1), self.count)
        frames = counts.frames
        self.outcomes = {
            outcome: np.bincount(_second(frames, self.count)[frames.outcome == outcome], minlength=self.count)
            for outcome in FrameOutcome
        }
        self.questions = np.bincount(_second(counts.questions, self.count), minlength=self.count)
        self.p50_ms, self.p95_ms = self._percentiles(frames, frames.whole_ms, (50, 95))
        (self.own_p95_ms,) = self._percentiles(frames, frames.own_ms, (95,))

    @property
    def kept(self) -> Ints:
        return np.asarray(self.seen - self.repeats, dtype=np.int64)

    @property
    def unanswered(self) -> Ints:
        return np.asarray(self.outcomes[FrameOutcome.SHED] + self.outcomes[FrameOutcome.FAILED], dtype=np.int64)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "at_s": float(second),
                "rooms": int(self.rooms[second]),
                "seen": int(self.seen[second]),
                "repeats": int(self.repeats[second]),
                "kept": int(self.kept[second]),
                "answered": int(self.outcomes[FrameOutcome.ANSWERED][second]),
                "shed": int(self.outcomes[FrameOutcome.SHED][second]),
                "failed": int(self.outcomes[FrameOutcome.FAILED][second]),
                "questions": int(self.questions[second]),
                "p50_ms": _none_if_nan(self.p50_ms[second]),
                "p95_ms": _none_if_nan(self.p95_ms[second]),
                "own_p95_ms": _none_if_nan(self.own_p95_ms[second]),
            }
            for second in range(self.count)
        ]

    def _percentiles(self, frames: Rows, times_ms: Floats, shares: Sequence[int]) -> list[Floats]:
        """Return percentiles of the answers by the second in which they were due; NaN without an answer."""
        answered = frames.outcome == FrameOutcome.ANSWERED
        second, times_ms = _second(frames, self.count)[answered], times_ms[answered]
        order = np.argsort(second, kind="stable")
        parts = np.split(times_ms[order], np.searchsorted(second[order], np.arange(1, self.count)))
        return [np.array([np.percentile(part, share) if len(part) else np.nan for part in parts]) for share in shares]


def _totals(driven: DrivenLoad, seconds: _Seconds) -> record.Totals:
    scenario = driven.scenario
    # A run stopped within its warm-up has no other seconds to count.
    warm = int(scenario.warm_up_s) if scenario.warm_up_s < driven.elapsed_s else 0
    frames, questions = driven.counts.frames, driven.counts.questions
    answered = (frames.outcome == FrameOutcome.ANSWERED) & (frames.due_s >= warm)
    whole, own = frames.whole_ms[answered], frames.own_ms[answered]
    cost_nanousd = frames.cost_nanousd[answered].sum() + questions.cost_nanousd[questions.due_s >= warm].sum()
    missed_seconds = seconds_missing_targets(
        scenario.targets, seconds.kept, seconds.unanswered, seconds.p95_ms, seconds.own_p95_ms
    )
    end_s = min(driven.elapsed_s, scenario.length_s)
    return record.Totals(
        seconds=end_s - warm,
        rooms_peak=int(seconds.rooms[warm:].max(initial=0)),
        room_hours=float(room_hours(driven.rooms, driven.tenants, warm, end_s).sum()),
        seen=int(seconds.seen[warm:].sum()),
        repeats=int(seconds.repeats[warm:].sum()),
        kept=int(seconds.kept[warm:].sum()),
        answered=int(seconds.outcomes[FrameOutcome.ANSWERED][warm:].sum()),
        shed=int(seconds.outcomes[FrameOutcome.SHED][warm:].sum()),
        failed=int(seconds.outcomes[FrameOutcome.FAILED][warm:].sum()),
        p50_ms=quantile_ms(whole, 0.5),
        p95_ms=quantile_ms(whole, 0.95),
        p99_ms=quantile_ms(whole, 0.99),
        own_p50_ms=quantile_ms(own, 0.5),
        own_p95_ms=quantile_ms(own, 0.95),
        replica_seconds=_replica_seconds(driven.samples.replicas, warm, end_s),
        slo_missing_s=int(np.count_nonzero(missed_seconds[warm:])),
        cost_nanousd=int(cost_nanousd),
        driver_cpu_s=driven.driver_cpu_s,
        app_cpu_s=driven.app_cpu_s,
    )


def _latency(driven: DrivenLoad) -> list[dict[str, Any]]:
    rows = []
    for service, answers in (("vision", driven.counts.frames), ("llm", driven.counts.questions)):
        warm = (answers.outcome == FrameOutcome.ANSWERED) & (answers.due_s >= driven.scenario.warm_up_s)
        for part, times_ms in (("whole", answers.whole_ms[warm]), ("own", answers.own_ms[warm])):
            values = ((quantile, quantile_ms(times_ms, quantile)) for quantile in QUANTILES)
            rows += [{"service": service, "part": part, "quantile": q, "ms": ms} for q, ms in values if ms is not None]
    return rows


def _tenants(driven: DrivenLoad, app: AppSettings, day: dt.date) -> tuple[list[dict[str, Any]], str]:
    """Return a row for each tenant, of the whole run, and the note on the prices of the comparisons."""
    counts, frames = driven.counts, driven.counts.frames
    answered = frames.outcome == FrameOutcome.ANSWERED
    tokens = mean_tokens(int(frames.output_tokens.sum()), int(answered.sum()))
    long_side_px = app.rooms.image_long_side_px
    strong = strong_frame(app.catalogue(), app.vision, day, long_side_px=long_side_px, answer_tokens=tokens)
    hours = room_hours(driven.rooms, driven.tenants, 0.0, driven.elapsed_s)
    seen, repeats = counts.seen.sum(axis=0), counts.repeats.sum(axis=0)
    answers = np.bincount(frames.tenant[answered], minlength=driven.tenants)
    costs = np.zeros(driven.tenants, np.int64)
    np.add.at(costs, frames.tenant, frames.cost_nanousd)
    rows = [
        tenant_row(
            tenant_name(index),
            float(hours[index]),
            FrameCounts(seen=int(seen[index]), kept=int(seen[index] - repeats[index]), answered=int(answers[index])),
            int(costs[index]),
            strong,
        )
        for index in range(driven.tenants)
    ]
    return rows, price_note(strong)


def _replica_seconds(rows: Sequence[Mapping[str, Any]], from_s: float, to_s: float) -> dict[str, float]:
    """Return the replica-seconds of each deployment: a sample holds until the next one."""
    samples: dict[str, list[tuple[float, int]]] = {}
    for row in rows:
        if row["running_replicas"] is not None:
            samples.setdefault(row["deployment"], []).append((float(row["at_s"]), int(row["running_replicas"])))
    return {
        name: round(_time_weighted(deployment_samples, from_s, to_s), 1) for name, deployment_samples in samples.items()
    }


def _time_weighted(samples: Sequence[tuple[float, int]], from_s: float, to_s: float) -> float:
    ends = [at_s for at_s, _ in samples[1:]] + [to_s]
    # The first sample may be late on a busy machine, so it also holds for the time before it.
    begins = [from_s, *ends[:-1]]
    return sum(
        running * max(0.0, min(end_s, to_s) - max(begin_s, from_s))
        for (_, running), begin_s, end_s in zip(samples, begins, ends, strict=True)
    )


def _open_at(rooms: ScheduledRooms, at_s: Floats) -> Ints:
    """Return the number of open rooms in each second; a room counts from the second in which it joins."""
    joined = np.searchsorted(np.sort(rooms.join_at_s), at_s + 1, side="left")
    left = np.searchsorted(np.sort(rooms.leave_at_s), at_s, side="right")
    return np.asarray(joined - left, dtype=np.int64)


def _by_second(counts: Ints, seconds: int) -> Ints:
    """Return counts by second; later counts are added to the last second."""
    by_second = np.zeros(seconds, np.int64)
    by_second[: len(counts)] = counts[:seconds]
    by_second[-1] += counts[seconds:].sum()
    return by_second


def _second(rows: Rows, seconds: int) -> Ints:
    return np.minimum(rows.due_s.astype(np.int64), seconds - 1)


def quantile_ms(times_ms: Floats, share: float) -> float | None:
    """Return an interpolated quantile; None without a time."""
    return float(np.quantile(times_ms, share)) if len(times_ms) else None


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
