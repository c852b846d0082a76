"""Convert a finished simulation into a run's tables, totals and verdicts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cluster.config.settings import AppSettings
from cluster.lab.results import record
from cluster.lab.results.savings import FrameCounts, mean_tokens, price_note, strong_frame, tenant_row
from cluster.lab.results.targets import room_hours, seconds_missing_targets, verdicts
from cluster.lab.scenario.arrivals import ScheduledRooms, tenant_name
from cluster.lab.scenario.scenario import Scenario, VendorFault
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.metrics import SimulatorMetrics
from cluster.lab.simulator.simulator import SimulationResult
from routing.catalogue import Catalogue

NOTES = (
    "Simulated in virtual time: rooms, application and vendors are models, the autoscaler is Ray's own code.",
    "Not simulated: breakers, escalation of weak answers, embeddings, and an agent's own slowing down.",
)


def run_of(
    simulated: SimulationResult,
    scenario: Scenario,
    rooms: ScheduledRooms,
    app: AppSettings,
    assumptions: Assumptions,
    *,
    command: str,
    started_at: dt.datetime,
    elapsed_s: float,
) -> record.Run:
    """Return the run that `rayroom simulate` saves."""
    catalogue = app.catalogue()
    tenants, prices_note = _tenants(simulated.figures, scenario, rooms, app, catalogue, started_at.date())
    traffic = _traffic(simulated.figures)
    totals = _totals(simulated, scenario, rooms)
    summary = record.Summary(
        kind="simulate",
        name=scenario.name,
        command=command,
        started_at=started_at.isoformat(timespec="seconds"),
        machine=record.this_machine(),
        scenario=scenario.model_dump(mode="json"),
        totals=totals,
        verdicts=verdicts(scenario.targets, totals),
        notes=(*NOTES, prices_note, f"It took {elapsed_s:.1f} s."),
        details={
            "assumptions": assumptions.model_dump(),
            "fell_back": simulated.fallbacks,
            "questions_lost": simulated.figures.questions_lost,
            "left_over": simulated.in_flight,
            "decisions": len(simulated.events),
        },
    )
    events = sorted([*simulated.events, *_fault_events(scenario.vendors.faults)], key=lambda event: event["at_s"])
    return record.Run(
        summary=summary,
        replicas=record.table(record.REPLICAS, simulated.replica_rows),
        traffic=record.table(record.TRAFFIC, traffic),
        latency=record.table(record.LATENCY, simulated.figures.latency_rows()),
        tenants=record.table(record.TENANTS, tenants),
        events=record.table(record.EVENTS, events),
    )


def _totals(simulated: SimulationResult, scenario: Scenario, rooms: ScheduledRooms) -> record.Totals:
    figures, first_second = simulated.figures, int(scenario.warm_up_s)
    kept, unanswered = figures.seconds["kept"], figures.seconds["shed"] + figures.seconds["failed"]
    missed_seconds = seconds_missing_targets(
        scenario.targets, kept, unanswered, figures.percentiles[:, 1], figures.percentiles[:, 2]
    )
    sums = {name: int(counts[first_second:].sum()) for name, counts in figures.seconds.items()}
    whole, own = figures.histograms["vision", "whole"], figures.histograms["vision", "own"]
    return record.Totals(
        seconds=scenario.length_s - scenario.warm_up_s,
        rooms_peak=int(figures.seconds["rooms"][first_second:].max(initial=0)),
        room_hours=float(room_hours(rooms, 1, scenario.warm_up_s, scenario.length_s).sum()),
        **{name: sums[name] for name in ("seen", "repeats", "kept", "answered", "shed", "failed")},
        p50_ms=whole.quantile(0.5),
        p95_ms=whole.quantile(0.95),
        p99_ms=whole.quantile(0.99),
        own_p50_ms=own.quantile(0.5),
        own_p95_ms=own.quantile(0.95),
        replica_seconds={name: round(seconds, 1) for name, seconds in simulated.replica_s.items()},
        slo_missing_s=int(np.count_nonzero(missed_seconds[first_second:])),
        cost_nanousd=figures.counted_cost_nanousd,
    )


def _traffic(figures: SimulatorMetrics) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for second in range(len(figures.percentiles)):
        counts = {name: int(values[second]) for name, values in figures.seconds.items()}
        times = [None if np.isnan(ms) else float(ms) for ms in figures.percentiles[second]]
        rows.append({"at_s": float(second), **counts, "p50_ms": times[0], "p95_ms": times[1], "own_p95_ms": times[2]})
    return rows


def _tenants(
    figures: SimulatorMetrics,
    scenario: Scenario,
    rooms: ScheduledRooms,
    app: AppSettings,
    catalogue: Catalogue,
    day: dt.date,
) -> tuple[list[Mapping[str, Any]], str]:
    """Return a row for each tenant over the whole run, and the prices of the comparisons."""
    sums = figures.by_tenant
    answers = mean_tokens(figures.output_tokens, int(sums["answered"].sum()))
    strong = strong_frame(catalogue, app.vision, day, long_side_px=app.rooms.image_long_side_px, answer_tokens=answers)
    hours = room_hours(rooms, len(sums["seen"]), 0.0, scenario.length_s)
    rows: list[Mapping[str, Any]] = [
        tenant_row(
            tenant_name(index),
            float(hours[index]),
            FrameCounts(**{name: int(sums[name][index]) for name in ("seen", "kept", "answered")}),
            int(sums["cost_nanousd"][index]),
            strong,
        )
        for index in range(len(sums["seen"]))
    ]
    return rows, price_note(strong)


def _fault_events(faults: Iterable[VendorFault]) -> list[Mapping[str, Any]]:
    """Return the begin and the end of each vendor fault."""
    events: list[Mapping[str, Any]] = []
    for fault in faults:
        description = f"{fault.share:.0%} answer {fault.status}" if fault.status else f"{fault.slower_by_s:g} s slower"
        events.append({"at_s": fault.from_s, "kind": "fault", "where": fault.vendor, "what": f"begins: {description}"})
        events.append({"at_s": fault.to_s, "kind": "fault", "where": fault.vendor, "what": "is over"})
    return events
