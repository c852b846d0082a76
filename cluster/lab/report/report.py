"""Write a run's report: one HTML file that a reader can keep, send and print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from cluster.lab.report import figures, tables
from cluster.lab.report.cost_breakdown import sum_spend, tenant_spend
from cluster.lab.report.figures import DrawnRun
from cluster.lab.report.page import Fact, Figure, Page, Section, section, write_page
from cluster.lab.report.words import count, dollars, milliseconds, seconds, share
from cluster.lab.results.record import Kind, Run, Summary
from routing.units import NANOUSD_PER_USD

FILE = "report.html"
SIMULATED = "SIMULATED"
MAX_BARS = 12
_KINDS: dict[Kind, str] = {
    "load": "Synthetic rooms against a real cluster",
    "replay": "Recorded frames against a real cluster",
    "webrtc": "Real rooms over WebRTC, and synthetic ones, against a real cluster",
    "simulate": "A cluster simulated in virtual time, scaled by the real policy code",
    "demo": "Real rooms over WebRTC against a real cluster",
}


def write(run: Run, directory: Path, extra: Sequence[Section] = ()) -> Path:
    """Write `report.html` atomically, with the sections of `extra` before the last one; raises OSError."""
    return write_page(page(run, extra), directory / FILE)


def page(run: Run, extra: Sequence[Section] = ()) -> Page:
    """Return the report's page; the same run gives the same page."""
    summary = run.summary
    return Page(
        title=f"{summary.kind}: {summary.name}",
        about=about(summary),
        badges=badges(summary),
        facts=_facts(summary),
        sections=[*_run_sections(run), *extra, _how(summary)],
    )


def about(summary: Summary) -> str:
    """Return the sentence below a report's title."""
    simulation_note = (
        " No real vendor was asked: answers, their times and costs are simulated." if summary.simulated else ""
    )
    return (
        f"{_KINDS[summary.kind]}, for {seconds(summary.totals.seconds)}, begun {summary.started_at}.{simulation_note}"
    )


def badges(summary: Summary) -> tuple[str, ...]:
    return ((SIMULATED,) if summary.simulated else ()) + (() if summary.complete else ("STOPPED EARLY",))


def targets(summary: Summary) -> Fact:
    held, total = sum(verdict.held for verdict in summary.verdicts), len(summary.verdicts)
    if not total:
        return Fact(label="Targets", value="none set")
    missed = ", ".join(verdict.target for verdict in summary.verdicts if not verdict.held)
    value = "all held" if held == total else f"{total - held} of {total} missed"
    return Fact(label="Targets", value=value, note=missed and f"missed: {missed}", good=held == total)


def _facts(summary: Summary) -> tuple[Fact, ...]:
    totals = summary.totals
    per_hour = totals.usd_per_room_hour
    repeated = totals.repeats / totals.seen if totals.seen else None
    return (
        targets(summary),
        Fact(label="Rooms at most", value=count(totals.rooms_peak), note=f"{totals.room_hours:,.2f} room-hours"),
        Fact(
            label="Answer time, p95",
            value=milliseconds(totals.p95_ms),
            note=f"without the vendor: {milliseconds(totals.own_p95_ms)}",
        ),
        Fact(
            label="Kept, not answered",
            value=share(totals.shed_share),
            note=f"{count(totals.shed)} shed, {count(totals.failed)} failed of {count(totals.kept)}",
        ),
        Fact(label="Repeats dropped", value=share(repeated), note=f"of {count(totals.seen)} frames seen"),
        Fact(
            label="Cost",
            value=dollars(totals.cost_nanousd),
            note="a room-hour: " + dollars(None if per_hour is None else per_hour * NANOUSD_PER_USD),
        ),
    )


def _run_sections(run: Run) -> list[Section]:
    runs = [DrawnRun(run=run)]
    time = figures.shared_clock(runs)
    resolution = () if time.interval_s <= 1 else (resolution_note(time.interval_s),)
    verdicts = tables.verdicts([run.summary])
    return [
        section("Targets", "No targets were set.", tables=[verdicts]),
        section(
            "Rooms and frames",
            "Not known: no traffic was counted.",
            resolution,
            figures=[figures.rooms(runs), figures.frames(run), figures.unanswered(runs)],
            tables=[tables.totals([run.summary])],
        ),
        section(
            "Answer times",
            "Not known: no answer's time was measured.",
            figures=[figures.latency(runs), *quantiles(runs)],
            tables=[tables.quantiles(run.latency)],
        ),
        section(
            "Replicas against demand",
            "Not known: nobody asked the cluster for its replicas.",
            ("Wanted is the demand over what one replica is to hold, before bounds and delays.",),
            figures=figures.replicas(runs),
            tables=[tables.replica_seconds([run.summary])],
        ),
        section("Queues", "Not known: nobody asked the cluster for its queues.", figures=queues(runs)),
        _costs(run),
        section(
            "What the autoscaler decided, and why",
            "No decision was recorded.",
            tables=[tables.events(run.events, ("scale",), "Decisions")],
        ),
        section(
            "What else happened",
            "No event of a breaker, a fallback, a fault or a node was recorded.",
            tables=[tables.events(run.events, ("breaker", "fallback", "fault", "node", "note"), "Events")],
        ),
    ]


def resolution_note(interval_s: float) -> str:
    return (
        f"A point of a chart stands for {seconds(interval_s)}: counts are means, p95 is the worst second,"
        " p50 the middle one."
    )


def quantiles(runs: Sequence[DrawnRun]) -> list[Figure | None]:
    services = dict.fromkeys(name for drawn_run in runs for name in drawn_run.run.latency.column("service").to_pylist())
    return [figures.quantiles(runs, str(service)) for service in services]


def queues(runs: Sequence[DrawnRun]) -> list[Figure | None]:
    return [
        figures.waiting(runs, "queued", "Requests that waited for a replica", "Over time, each deployment's queue."),
        figures.waiting(runs, "ongoing", "Requests in work", "Over time, each deployment's ongoing requests."),
    ]


def _costs(run: Run) -> Section:
    rows = tenant_spend(run.tenants)
    known_costs = [(row.name, row.cost_nanousd) for row in rows[:MAX_BARS] if row.cost_nanousd is not None]
    texts = (
        "Three savings, each a step: frames that did not change are never sent, those that did are sent smaller,"
        " and the cheap model answers where it can. What they are compared with is every frame that was seen, at full"
        " size, to the strong model.",
    )
    steps_chart = figures.cost_steps(sum_spend("all", rows).cost_steps()) if rows else None
    return section(
        "Cost by tenant",
        "Not known: no tenant's cost was counted.",
        texts,
        figures=[steps_chart, figures.tenants(known_costs) if len(known_costs) > 1 else None],
        tables=[tables.tenants(rows)],
    )


def _how(summary: Summary) -> Section:
    scenario = yaml.safe_dump(summary.scenario, sort_keys=False, allow_unicode=True)
    return Section(
        title="How it was run",
        texts=summary.notes,
        tables=(tables.machines([summary]),),
        preformatted=f"{summary.command}\n\n{scenario}".strip(),
    )
