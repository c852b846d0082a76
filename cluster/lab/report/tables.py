"""Lay out a run's figures as tables, every cell with its unit. An empty table is None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from cluster.lab.report.cost_breakdown import TenantSpend, together
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

MOST_TENANTS = 30
MOST_EVENTS = 100
_QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


def verdicts(runs: Sequence[Summary], names: Sequence[str] = ("",)) -> ReportTable | None:
    """Return each target with its limit and measured value, of one run or of two."""
    found = [{one.target: one for one in run.verdicts} for run in runs]
    rows = []
    for name in dict.fromkeys(name for one in found for name in one):
        limits = dict.fromkeys(target(name, one[name].limit) for one in found if name in one)
        cells = [name, " / ".join(limits)]
        for one in found:
            asked = one.get(name)
            cells += [target(name, asked.seen), "held" if asked.held else "MISSED"] if asked else ["not asked", ""]
        rows.append(tuple(cells))
    columns = [column for name in names for column in (f"seen {name}".strip(), f"verdict {name}".strip())]
    return _grid("Limits, and what was seen", ("target", "limit", *columns), rows, wordy=(3, 5))


def figures_of(totals: Totals) -> list[tuple[str, float | None, str]]:
    """Return a run's figures: name, value, and formatted value."""
    per_hour = totals.usd_per_room_hour
    nanousd = None if per_hour is None else per_hour * 1e9
    milli = [
        (f"answer time, {name}", value)
        for name, value in (("p50", totals.p50_ms), ("p95", totals.p95_ms), ("p99", totals.p99_ms))
    ]
    milli += [("own part, p50", totals.own_p50_ms), ("own part, p95", totals.own_p95_ms)]
    return [
        ("length", totals.seconds, seconds(totals.seconds)),
        ("rooms at most", totals.rooms_peak, count(totals.rooms_peak)),
        ("room-hours", totals.room_hours, number(totals.room_hours)),
        *((name, getattr(totals, name), count(getattr(totals, name))) for name in _COUNTS),
        ("kept, not answered", totals.shed_share, share(totals.shed_share)),
        *((name, value, milliseconds(value)) for name, value in milli),
        ("time in which a target did not hold", totals.slo_missing_s, seconds(totals.slo_missing_s)),
        ("cost", totals.cost_nanousd, dollars(totals.cost_nanousd)),
        ("cost of a room-hour", nanousd, dollars(nanousd)),
        ("CPU time of the driver", totals.driver_cpu_s, seconds(totals.driver_cpu_s)),
        ("CPU time of the app", totals.app_cpu_s, seconds(totals.app_cpu_s)),
    ]


_COUNTS = ("seen", "repeats", "kept", "answered", "shed", "failed")


def totals(runs: Sequence[Summary]) -> ReportTable:
    rows = [(name, words) for name, _, words in figures_of(runs[0].totals)]
    return ReportTable(title="The whole run, after its warm-up", columns=("figure", "total"), rows=tuple(rows))


def compared(one: Totals, other: Totals) -> ReportTable:
    """Return two runs' figures beside each other, and by how much the second differs from the first."""
    rows = [
        (name, words, other_words, difference(value, other_value))
        for (name, value, words), (_, other_value, other_words) in zip(figures_of(one), figures_of(other), strict=True)
    ]
    rows += [
        (f"replica-seconds of {name}", number(first), number(second), difference(first, second))
        for name, (first, second) in _replica_seconds(one, other).items()
    ]
    return ReportTable(
        title="The whole runs, after their warm-up", columns=("figure", "A", "B", "B against A"), rows=tuple(rows)
    )


def replica_seconds(runs: Sequence[Summary]) -> ReportTable | None:
    rows = [(name, number(value)) for name, value in runs[0].totals.replica_seconds.items()]
    return _grid("What ran", ("deployment", "replica-seconds"), rows)


def quantiles(latency: pa.Table) -> ReportTable | None:
    """Return each service's percentiles, whole and own."""
    found: dict[tuple[str, str], dict[float, float]] = {}
    for row in latency.to_pylist():
        found.setdefault((row["service"], row["part"]), {})[row["quantile"]] = row["ms"]
    rows = [
        (service, part, *(_near(values, quantile) for quantile in _QUANTILES))
        for (service, part), values in found.items()
    ]
    names = [f"p{100 * quantile:g}" for quantile in _QUANTILES[:-1]]
    return _grid("Answer times after the warm-up, ms", ("service", "part", *names, "longest"), rows, wordy=(1,))


def tenants(rows: Sequence[TenantSpend]) -> ReportTable | None:
    """Return each tenant's cost and three factors; tenants beyond the first `MOST_TENANTS` are summed in one row."""
    shown = list(rows[:MOST_TENANTS])
    if len(rows) > MOST_TENANTS:
        shown.append(together(f"{len(rows) - MOST_TENANTS} more", list(rows[MOST_TENANTS:])))
    if len(rows) > 1:
        shown.append(together("all", list(rows)))
    columns = ("tenant", "room-hours", "seen", "kept", "answered", "spent", "a room-hour", "change", "size", "routing")
    note = (
        "Change, size and routing: how many times less it became by each."
        " A kept frame that got no answer counts for none of them."
    )
    return _grid("Frames and cost by tenant", columns, [_tenant(row) for row in shown], note=note)


def steps(ladders: Sequence[Mapping[str, int | None]]) -> ReportTable | None:
    """Return the steps of two runs, from the cost of every frame to the actual cost."""
    one, other = ladders
    rows = [
        (label, dollars(one.get(label)), dollars(other.get(label)), difference(one.get(label), other.get(label)))
        for label in dict.fromkeys([*one, *other])
    ]
    return _grid("From every frame to what was spent", ("step", "A", "B", "B against A"), rows)


def events(table: pa.Table, kinds: Sequence[str], title: str) -> ReportTable | None:
    found = [row for row in table.to_pylist() if row["kind"] in kinds]
    found.sort(key=lambda row: -math.inf if row["at_s"] is None else float(row["at_s"]))
    rows = [
        (moment(row["at_s"]), *([row["kind"]] if len(kinds) > 1 else []), row["where"] or UNKNOWN, row["what"] or "")
        for row in found[:MOST_EVENTS]
    ]
    more = len(found) - len(rows)
    note = f"The first {MOST_EVENTS}; {count(more)} more are in events.parquet." if more else ""
    columns = ("at", *(["kind"] if len(kinds) > 1 else []), "where", "what")
    return _grid(title, columns, rows, wordy=(1, 2, 3), note=note)


def machines(runs: Sequence[Summary]) -> ReportTable:
    """Return where the runs were made, and with what."""
    found = [run.machine for run in runs]
    versions = dict.fromkeys(name for machine in found for name in machine.versions)
    rows = [
        ("CPUs", *(count(machine.cpus) for machine in found)),
        ("memory", *(f"{number(machine.memory_gib)} GiB" for machine in found)),
        ("platform", *(machine.platform for machine in found)),
        ("Python", *(machine.python for machine in found)),
        *((name, *(machine.versions.get(name, "not there") for machine in found)) for name in versions),
    ]
    columns = ("part", "A", "B") if len(found) > 1 else ("part", "here")
    return ReportTable(title="Machine and versions", columns=columns, rows=tuple(rows), wordy=frozenset({1, 2}))


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


def _replica_seconds(one: Totals, other: Totals) -> dict[str, tuple[float | None, float | None]]:
    names = dict.fromkeys([*one.replica_seconds, *other.replica_seconds])
    return {name: (one.replica_seconds.get(name), other.replica_seconds.get(name)) for name in names}


def _near(values: dict[float, float], quantile: float) -> str:
    return number(next((ms for found, ms in values.items() if math.isclose(found, quantile, abs_tol=1e-6)), None))


def _grid(
    title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], wordy: Sequence[int] = (), note: str = ""
) -> ReportTable | None:
    return (
        ReportTable(title=title, columns=columns, rows=tuple(rows), wordy=frozenset(wordy), note=note) if rows else None
    )
