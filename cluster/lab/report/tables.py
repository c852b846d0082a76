"""Lay out a run's figures as tables, every cell with its unit. An empty table is None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from cluster.lab.report.cost_breakdown import TenantSpend, sum_spend
from cluster.lab.report.page import ReportTable
from cluster.lab.report.words import (
    UNKNOWN,
    count,
    difference,
    dollars,
    milliseconds,
    moment,
    number,
    seconds,
    share,
    target,
    times,
)
from cluster.lab.results.record import Summary, Totals
from routing.units import NANOUSD_PER_USD

MAX_TENANTS = 30
MAX_EVENTS = 100
_QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


def verdicts(runs: Sequence[Summary], names: Sequence[str] = ("",)) -> ReportTable | None:
    """Return each target with its limit and measured value, of one run or of two."""
    verdicts_by_run = [{by_target.target: by_target for by_target in run.verdicts} for run in runs]
    rows = []
    for name in dict.fromkeys(name for by_target in verdicts_by_run for name in by_target):
        limits = dict.fromkeys(
            target(name, by_target[name].limit) for by_target in verdicts_by_run if name in by_target
        )
        cells = [name, " / ".join(limits)]
        for by_target in verdicts_by_run:
            verdict = by_target.get(name)
            cells += (
                [target(name, verdict.seen), "held" if verdict.held else "MISSED"] if verdict else ["not asked", ""]
            )
        rows.append(tuple(cells))
    columns = [column for name in names for column in (f"seen {name}".strip(), f"verdict {name}".strip())]
    return _table_or_none("Limits, and what was seen", ("target", "limit", *columns), rows, text_columns=(3, 5))


def figures_of(totals: Totals) -> list[tuple[str, float | None, str]]:
    """Return a run's figures: name, value, and formatted value."""
    per_hour = totals.usd_per_room_hour
    nanousd = None if per_hour is None else per_hour * NANOUSD_PER_USD
    times_ms = [
        (f"answer time, {name}", value)
        for name, value in (("p50", totals.p50_ms), ("p95", totals.p95_ms), ("p99", totals.p99_ms))
    ]
    times_ms += [("own part, p50", totals.own_p50_ms), ("own part, p95", totals.own_p95_ms)]
    return [
        ("length", totals.seconds, seconds(totals.seconds)),
        ("rooms at most", totals.rooms_peak, count(totals.rooms_peak)),
        ("room-hours", totals.room_hours, number(totals.room_hours)),
        *((name, getattr(totals, name), count(getattr(totals, name))) for name in _COUNTS),
        ("kept, not answered", totals.shed_share, share(totals.shed_share)),
        *((name, value, milliseconds(value)) for name, value in times_ms),
        ("time in which a target did not hold", totals.slo_missing_s, seconds(totals.slo_missing_s)),
        ("cost", totals.cost_nanousd, dollars(totals.cost_nanousd)),
        ("cost of a room-hour", nanousd, dollars(nanousd)),
        ("CPU time of the driver", totals.driver_cpu_s, seconds(totals.driver_cpu_s)),
        ("CPU time of the app", totals.app_cpu_s, seconds(totals.app_cpu_s)),
    ]


_COUNTS = ("seen", "repeats", "kept", "answered", "shed", "failed")


def totals(runs: Sequence[Summary]) -> ReportTable:
    rows = [(name, text) for name, _, text in figures_of(runs[0].totals)]
    return ReportTable(title="The whole run, after its warm-up", columns=("figure", "total"), rows=tuple(rows))


def comparison(first_totals: Totals, second_totals: Totals) -> ReportTable:
    """Return the figures of two runs with the difference of the second from the first."""
    rows = [
        (name, first_text, second_text, difference(first_value, second_value))
        for (name, first_value, first_text), (_, second_value, second_text) in zip(
            figures_of(first_totals), figures_of(second_totals), strict=True
        )
    ]
    rows += [
        (f"replica-seconds of {name}", number(first), number(second), difference(first, second))
        for name, (first, second) in _replica_seconds(first_totals, second_totals).items()
    ]
    return ReportTable(
        title="The whole runs, after their warm-up", columns=("figure", "A", "B", "B against A"), rows=tuple(rows)
    )


def replica_seconds(runs: Sequence[Summary]) -> ReportTable | None:
    rows = [(name, number(value)) for name, value in runs[0].totals.replica_seconds.items()]
    return _table_or_none("What ran", ("deployment", "replica-seconds"), rows)


def quantiles(latency: pa.Table) -> ReportTable | None:
    """Return each service's percentiles, whole and own."""
    values_by_part: dict[tuple[str, str], dict[float, float]] = {}
    for row in latency.to_pylist():
        values_by_part.setdefault((row["service"], row["part"]), {})[row["quantile"]] = row["ms"]
    rows = [
        (service, part, *(_nearest_quantile(values, quantile) for quantile in _QUANTILES))
        for (service, part), values in values_by_part.items()
    ]
    names = [f"p{100 * quantile:g}" for quantile in _QUANTILES[:-1]]
    return _table_or_none(
        "Answer times after the warm-up, ms", ("service", "part", *names, "longest"), rows, text_columns=(1,)
    )


def tenants(rows: Sequence[TenantSpend]) -> ReportTable | None:
    """Return each tenant's cost and three factors; tenants beyond the first `MAX_TENANTS` are summed in one row."""
    shown_rows = list(rows[:MAX_TENANTS])
    if len(rows) > MAX_TENANTS:
        shown_rows.append(sum_spend(f"{len(rows) - MAX_TENANTS} more", list(rows[MAX_TENANTS:])))
    if len(rows) > 1:
        shown_rows.append(sum_spend("all", list(rows)))
    columns = ("tenant", "room-hours", "seen", "kept", "answered", "spent", "a room-hour", "change", "size", "routing")
    note = (
        "Change, size and routing: how many times less it became by each."
        " A kept frame that got no answer counts for none of them."
    )
    return _table_or_none("Frames and cost by tenant", columns, [_tenant(row) for row in shown_rows], note=note)


def steps(costs: Sequence[Mapping[str, int | None]]) -> ReportTable | None:
    """Return the steps of two runs, from the cost of every frame to the actual cost."""
    first, second = costs
    rows = [
        (label, dollars(first.get(label)), dollars(second.get(label)), difference(first.get(label), second.get(label)))
        for label in dict.fromkeys([*first, *second])
    ]
    return _table_or_none("From every frame to what was spent", ("step", "A", "B", "B against A"), rows)


def events(table: pa.Table, kinds: Sequence[str], title: str) -> ReportTable | None:
    matching = [row for row in table.to_pylist() if row["kind"] in kinds]
    matching.sort(key=lambda row: -math.inf if row["at_s"] is None else float(row["at_s"]))
    rows = [
        (moment(row["at_s"]), *([row["kind"]] if len(kinds) > 1 else []), row["where"] or UNKNOWN, row["what"] or "")
        for row in matching[:MAX_EVENTS]
    ]
    omitted = len(matching) - len(rows)
    note = f"The first {MAX_EVENTS}; {count(omitted)} more are in events.parquet." if omitted else ""
    columns = ("at", *(["kind"] if len(kinds) > 1 else []), "where", "what")
    return _table_or_none(title, columns, rows, text_columns=(1, 2, 3), note=note)


def machines(runs: Sequence[Summary]) -> ReportTable:
    """Return the machines of the runs and their versions."""
    run_machines = [run.machine for run in runs]
    versions = dict.fromkeys(name for machine in run_machines for name in machine.versions)
    rows = [
        ("CPUs", *(count(machine.cpus) for machine in run_machines)),
        ("memory", *(f"{number(machine.memory_gib)} GiB" for machine in run_machines)),
        ("platform", *(machine.platform for machine in run_machines)),
        ("Python", *(machine.python for machine in run_machines)),
        *((name, *(machine.versions.get(name, "not there") for machine in run_machines)) for name in versions),
    ]
    columns = ("part", "A", "B") if len(run_machines) > 1 else ("part", "here")
    return ReportTable(title="Machine and versions", columns=columns, rows=tuple(rows), text_columns=frozenset({1, 2}))


def _tenant(row: TenantSpend) -> tuple[str, ...]:
    return (
        row.name,
        UNKNOWN if row.room_hours is None else f"{row.room_hours:,.2f}",
        *(count(value) for value in (row.seen, row.kept, row.answered)),
        dollars(row.cost_nanousd),
        dollars(row.nanousd_per_room_hour),
        times(row.every_frame_nanousd, row.changed_only_nanousd),
        times(row.changed_only_nanousd, row.changed_small_nanousd),
        times(row.answered_small_nanousd, row.cost_nanousd),
    )


def _replica_seconds(first: Totals, second: Totals) -> dict[str, tuple[float | None, float | None]]:
    names = dict.fromkeys([*first.replica_seconds, *second.replica_seconds])
    return {name: (first.replica_seconds.get(name), second.replica_seconds.get(name)) for name in names}


def _nearest_quantile(values: dict[float, float], quantile: float) -> str:
    return number(
        next(
            (ms for known_quantile, ms in values.items() if math.isclose(known_quantile, quantile, abs_tol=1e-6)), None
        )
    )


def _table_or_none(
    title: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    text_columns: Sequence[int] = (),
    note: str = "",
) -> ReportTable | None:
    return (
        ReportTable(title=title, columns=columns, rows=tuple(rows), text_columns=frozenset(text_columns), note=note)
        if rows
        else None
    )
