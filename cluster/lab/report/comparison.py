"""Compare two runs: verdicts and figures with their differences, and the same charts on one scale."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.lab.report import figures, report, tables
from cluster.lab.report.cost_breakdown import sum_spend, tenant_spend
from cluster.lab.report.figures import DrawnRun
from cluster.lab.report.page import Fact, Page, ReportTable, Section, section, write_page
from cluster.lab.report.palette import BLUE, ORANGE
from cluster.lab.report.words import count, difference, dollars, milliseconds, share
from cluster.lab.results.record import Run, load

FILE = "comparison.html"


def compare(first_directory: Path, second_directory: Path, file: Path, console: Console) -> Path:
    """Print the differences of the runs in two directories and write them as HTML; raises ConfigurationError."""
    first, second = load(first_directory), load(second_directory)
    show(first, second, console)
    return write_page(page(first, second), file)


def page(first: Run, second: Run) -> Page:
    """Return the comparison's page; A is the first run, B the second."""
    first_summary, second_summary = first.summary, second.summary
    runs = (("A", first_summary), ("B", second_summary))
    names = ", ".join(f"{name} is {summary.kind} {summary.name} of {summary.started_at}" for name, summary in runs)
    return Page(
        title="A and B",
        about=f"{names}. A percentage is how much more B is than A.",
        badges=tuple(dict.fromkeys([*report.badges(first_summary), *report.badges(second_summary)])),
        facts=_facts(first, second),
        sections=_sections(first, second),
    )


def warnings(first: Run, second: Run) -> tuple[str, ...]:
    """Return the reasons why a difference may not be an effect of the change under test."""
    first_summary, second_summary, reasons = first.summary, second.summary, []
    if first_summary.scenario != second_summary.scenario:
        keys = [
            key
            for key in {**first_summary.scenario, **second_summary.scenario}
            if first_summary.scenario.get(key) != second_summary.scenario.get(key)
        ]
        reasons.append(f"The scenarios differ in: {', '.join(keys)}. A difference may be theirs.")
    if first_summary.kind != second_summary.kind:
        reasons.append(
            f"A is a {first_summary.kind} run and B a {second_summary.kind} run: they do not measure the same way."
        )
    if first_summary.machine != second_summary.machine:
        reasons.append("The machines or their versions differ.")
    stopped = [name for name, run in (("A", first_summary), ("B", second_summary)) if not run.complete]
    return (*reasons, *(f"{name} was stopped before its end." for name in stopped))


def show(first: Run, second: Run, console: Console) -> None:
    """Print the verdicts and the figures."""
    for warning in warnings(first, second):
        console.print(Text(warning, style="yellow"))
    verdicts = tables.verdicts([first.summary, second.summary], ("A", "B"))
    for table in (verdicts, tables.comparison(first.summary.totals, second.summary.totals)):
        if table is not None:
            console.print(_table(table))


def _table(report_table: ReportTable) -> Table:
    table = Table(title=Text(report_table.title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(report_table.columns):
        table.add_column(
            Text(column), justify="left" if number == 0 or number in report_table.text_columns else "right"
        )
    for row in report_table.rows:
        # Text, not str: rich would interpret a name that looks like markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


def _facts(first: Run, second: Run) -> tuple[Fact, ...]:
    first_totals, second_totals = first.summary.totals, second.summary.totals
    figures = (
        ("Rooms at most", first_totals.rooms_peak, second_totals.rooms_peak, count),
        ("Answer time, p95", first_totals.p95_ms, second_totals.p95_ms, milliseconds),
        ("Kept, not answered", first_totals.shed_share, second_totals.shed_share, share),
        ("Cost", first_totals.cost_nanousd, second_totals.cost_nanousd, dollars),
    )
    difference_facts = tuple(
        Fact(
            label=label,
            value=difference(first_value, second_value),
            note=f"A {format_value(first_value)}, B {format_value(second_value)}",
        )
        for label, first_value, second_value, format_value in figures
    )
    targets = [(name, report.targets(run.summary)) for name, run in (("A", first), ("B", second))]
    return (
        *(Fact(label=f"Targets of {name}", value=fact.value, good=fact.good) for name, fact in targets),
        *difference_facts,
    )


def _sections(first: Run, second: Run) -> list[Section]:
    runs = (DrawnRun(run=first, name="A", colour=BLUE), DrawnRun(run=second, name="B", colour=ORANGE, dash=(6, 3)))
    summaries = [first.summary, second.summary]
    time = figures.shared_clock(runs)
    resolution = (report.resolution_note(time.interval_s),) if time.interval_s > 1 else ()
    verdicts = tables.verdicts(summaries, ("A", "B"))
    reasons = warnings(first, second)
    return [
        *([Section(title="Before comparing", texts=reasons)] if reasons else []),
        section("Targets", "No targets were set.", tables=[verdicts]),
        section("Figures", "", tables=[tables.comparison(first.summary.totals, second.summary.totals)]),
        section(
            "Rooms and frames",
            "Not known: no traffic was counted in either.",
            resolution,
            [figures.rooms(runs), figures.kept(runs), figures.unanswered(runs)],
        ),
        section(
            "Answer times",
            "Not known: no answer's time was measured in either.",
            figures=[figures.latency(runs), *report.quantiles(runs)],
        ),
        section("Replicas", "Not known: nobody asked for the replicas.", figures=figures.replicas(runs)),
        section("Queues", "Not known: nobody asked for the queues.", figures=report.queues(runs)),
        _cost(first, second),
        _how(first, second),
    ]


def _cost(first: Run, second: Run) -> Section:
    sums = [sum_spend("all", rows) if (rows := tenant_spend(run.tenants)) else None for run in (first, second)]
    steps = tables.steps([dict(total.cost_steps()) if total else {} for total in sums])
    return section("Cost", "Not known: no tenant's cost was counted in either.", tables=[steps])


def _how(first: Run, second: Run) -> Section:
    summaries = (("A", first.summary), ("B", second.summary))
    return Section(
        title="How they were run",
        texts=tuple(f"{name}: {note}" for name, summary in summaries for note in summary.notes),
        tables=(tables.machines([first.summary, second.summary]),),
        preformatted="\n".join(f"{name}: {summary.command}" for name, summary in summaries),
    )
