"""Two runs side by side: the differences in percent, and the warnings about them."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from rich.console import Console
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.lab.report import comparison
from cluster.lab.report.page import Page
from cluster.lab.results import record
from tests.support import runs


def other(**changes: object) -> record.Run:
    totals = runs.summary().totals.model_copy(update={"p95_ms": 1_155.0, "cost_nanousd": None})
    return runs.sample_run(totals=totals, **changes)


@cache
def whole() -> Page:
    return comparison.page(runs.sample_run(), other())


def rows(page: Page) -> dict[str, tuple[str, ...]]:
    (figures,) = [part for part in page.sections if part.title == "Figures"]
    return {row[0]: row for row in figures.grids[0].rows}


def test_a_figure_is_told_of_both_and_by_how_much_it_differs() -> None:
    found = rows(whole())
    assert found["answer time, p95"] == ("answer time, p95", "2,310 ms", "1,155 ms", "-50.0 %")
    assert found["seen"][-1] == "equal"
    assert found["cost"] == ("cost", "$1.235", "not known", "not known")


def test_the_same_charts_are_drawn_with_both_runs_on_one_scale() -> None:
    parts = {part.title: part for part in whole().sections}
    charts = [figure for title in ("Rooms and frames", "Answer times", "Replicas") for figure in parts[title].figures]
    assert len(charts) == 9
    assert all(" A</text>" in figure.wide and " B</text>" in figure.wide for figure in charts)


def test_two_runs_of_one_scenario_and_machine_compare_without_a_warning() -> None:
    assert comparison.warnings(runs.sample_run(), other()) == ()
    assert whole().sections[0].title == "Targets"


def test_runs_of_different_scenarios_are_compared_with_a_warning() -> None:
    first = runs.empty_run(complete=True)
    second = runs.empty_run(scenario={**runs.summary().scenario, "seed": 8}, kind="simulate")
    said = comparison.warnings(first, second)
    assert said[0] == "The scenarios differ in: seed. A difference may be theirs."
    assert "load run and B a simulate run" in said[1] and said[-1] == "B was stopped before its end."
    assert comparison.page(first, second).sections[0].texts == said


def test_a_run_with_targets_beside_one_without_says_that_it_was_not_asked() -> None:
    first = runs.empty_run(verdicts=runs.summary().verdicts)
    (part,) = [one for one in comparison.page(first, runs.empty_run()).sections if one.title == "Targets"]
    assert part.grids[0].rows[0] == ("p95_ms", "3,000 ms", "2,310 ms", "held", "not asked", "")


def test_a_run_that_knows_nothing_can_be_compared_too() -> None:
    page = comparison.page(runs.empty_run(), runs.empty_run())
    assert [part.texts for part in page.sections if part.title == "Queues"] == [
        ("Not known: nobody asked for the queues.",)
    ]


def test_the_terminal_shows_the_figures_and_takes_no_name_for_markup() -> None:
    out = io.StringIO()
    second = other(scenario={"[red]x": 1})
    comparison.show(runs.sample_run(), second, Console(file=out, width=140))
    said = out.getvalue()
    assert "[red]x" in said and "-50.0 %" in said and "MISSED" in said


def test_the_command_writes_the_file_it_names(tmp_path: Path) -> None:
    record.save(runs.empty_run(), tmp_path / "a")
    record.save(runs.empty_run(), tmp_path / "b")
    out = tmp_path / "out" / "ab.html"
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert f"left in {out}" in result.output and out.read_text("utf-8").startswith("<!doctype html>")


def test_a_directory_that_holds_no_run_is_an_error_that_names_it(tmp_path: Path) -> None:
    record.save(runs.sample_run(), tmp_path / "a")
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "a"), str(tmp_path / "nothing")])
    assert result.exit_code != 0 and "nothing: holds no run that can be read" in str(result.exception)
