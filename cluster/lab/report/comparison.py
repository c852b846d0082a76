"""Compare two runs: verdicts and figures with their differences, and the same charts on one scale."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.lab.report import figures, report, tables
from cluster.lab.report.cost_breakdown import spent, together
from cluster.lab.report.figures import DrawnRun
from cluster.lab.report.page import Fact, Page, ReportTable, Section, section, write_page
from cluster.lab.report.palette import BLUE, ORANGE
from cluster.lab.report.words import count, difference, dollars, milliseconds, share
from cluster.lab.results.record import Run, load

FILE = "comparison.html"


def compare(one: Path, other: Path, file: Path, console: Console) -> Path:
    """Print how the runs of two directories differ and write it as HTML; raises ConfigurationError for no run."""
    first, second = load(one), load(other)
    show(first, second, console)
    return write_page(page(first, second), file)


def page(first: Run, second: Run) -> Page:
    """Return the comparison's page; A is the first run, B the second."""
    one, other = first.summary, second.summary
    names = f"A is {one.kind} {one.name} of {one.started_at}, B is {other.kind} {other.name} of {other.started_at}."
    return Page(
        title="A and B",
        about=f"{names} A percentage is how much more B is than A.",
        badges=tuple(dict.fromkeys([*report.badges(one), *report.badges(other)])),
        facts=_facts(first, second),
        sections=_sections(first, second),
    )


def warnings(first: Run, second: Run) -> tuple[str, ...]:
    """Return the reasons for which a difference may be no effect of the change under test."""
    one, other, found = first.summary, second.summary, []
    if one.scenario != other.scenario:
        keys = [key for key in {**one.scenario, **other.scenario} if one.scenario.get(key) != other.scenario.get(key)]
        found.append(f"The scenarios differ in: {', '.join(keys)}. A difference may be theirs.")
    if one.kind != other.kind:
        found.append(f"A is a {one.kind} run and B a {other.kind} run: they do not measure the same way.")
    if one.machine != other.machine:
        found.append("The machines or their versions differ.")
    stopped = [name for name, run in (("A", one), ("B", other)) if not run.complete]
    return (*found, *(f"{name} was stopped before its end." for name in stopped))


def show(first: Run, second: Run, console: Console) -> None:
    """Print the verdicts and the figures."""
    for warning in warnings(first, second):
        console.print(Text(warning, style="yellow"))
    verdicts = tables.verdicts([first.summary, second.summary], ("A", "B"))
    for grid in (verdicts, tables.compared(first.summary.totals, second.summary.totals)):
        if grid is not None:
            console.print(_table(grid))


def _table(grid: ReportTable) -> Table:
    table = Table(title=Text(grid.title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(grid.columns):
        table.add_column(Text(column), justify="left" if number == 0 or number in grid.wordy else "right")
    for row in grid.rows:
        # Text, not str: rich would interpret a name that looks like markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


def _facts(first: Run, second: Run) -> tuple[Fact, ...]:
    a, b = first.summary.totals, second.summary.totals
    told = (
        ("Rooms at most", a.rooms_peak, b.rooms_peak, count),
        ("Answer time, p95", a.p95_ms, b.p95_ms, milliseconds),
        ("Kept, not answered", a.shed_share, b.shed_share, share),
        ("Cost", a.cost_nanousd, b.cost_nanousd, dollars),
    )
    figures_told = tuple(
        Fact(label=label, value=difference(one, other), note=f"A {words(one)}, B {words(other)}")
        for label, one, other, words in told
    )
    held = [(name, report.targets(run.summary)) for name, run in (("A", first), ("B", second))]
    return (*(Fact(label=f"Targets of {name}", value=fact.value, good=fact.good) for name, fact in held), *figures_told)


def _sections(first: Run, second: Run) -> list[Section]:
    both = (DrawnRun(run=first, name="A", colour=BLUE), DrawnRun(run=second, name="B", colour=ORANGE, dash=(6, 3)))
    summaries = [first.summary, second.summary]
    time = figures.clock_of(both)
    thinned = (report.thinned(time.stretch_s),) if time.stretch_s > 1 else ()
    verdicts = tables.verdicts(summaries, ("A", "B"))
    told = warnings(first, second)
    return [
        *([Section(title="Before comparing", texts=told)] if told else []),
        section("Targets", "No targets were set.", grids=[verdicts]),
        section("Figures", "", grids=[tables.compared(first.summary.totals, second.summary.totals)]),
        section(
            "Rooms and frames",
            "Not known: no traffic was counted in either.",
            thinned,
            [figures.rooms(both), figures.kept(both), figures.unanswered(both)],
        ),
        section(
            "Answer times",
            "Not known: no answer's time was measured in either.",
            drawn=[figures.latency(both), *report.quantiles(both)],
        ),
        section("Replicas", "Not known: nobody asked for the replicas.", drawn=figures.replicas(both)),
        section("Queues", "Not known: nobody asked for the queues.", drawn=report.queues(both)),
        _cost(first, second),
        _how(first, second),
    ]


def _cost(first: Run, second: Run) -> Section:
    sums = [together("all", rows) if (rows := spent(run.tenants)) else None for run in (first, second)]
    steps = tables.steps([dict(one.ladder()) if one else {} for one in sums])
    return section("Cost", "Not known: no tenant's cost was counted in either.", grids=[steps])


def _how(first: Run, second: Run) -> Section:
    named = (("A", first.summary), ("B", second.summary))
    return Section(
        title="How they were run",
        texts=tuple(f"{name}: {note}" for name, summary in named for note in summary.notes),
        grids=(tables.machines([first.summary, second.summary]),),
        typed="\n".join(f"{name}: {summary.command}" for name, summary in named),
    )
