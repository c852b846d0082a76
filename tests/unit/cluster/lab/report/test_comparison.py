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


def second_run(**changes: object) -> record.Run:
    totals = runs.summary().totals.model_copy(update={"p95_ms": 1_155.0, "cost_nanousd": None})
    return runs.sample_run(totals=totals, **changes)


@cache
def comparison_page() -> Page:
    return comparison.page(runs.sample_run(), second_run())


def rows(page: Page) -> dict[str, tuple[str, ...]]:
    (figures,) = [section for section in page.sections if section.title == "Figures"]
    return {row[0]: row for row in figures.tables[0].rows}


def test_a_figure_is_shown_for_both_runs_with_their_difference() -> None:
    rows_by_figure = rows(comparison_page())
    assert rows_by_figure["answer time, p95"] == ("answer time, p95", "2,310 ms", "1,155 ms", "-50.0 %")
    assert rows_by_figure["seen"][-1] == "equal"
    assert rows_by_figure["cost"] == ("cost", "$1.235", "not known", "not known")


def test_the_same_charts_are_drawn_with_both_runs_on_one_scale() -> None:
    sections = {section.title: section for section in comparison_page().sections}
    charts = [
        figure for title in ("Rooms and frames", "Answer times", "Replicas") for figure in sections[title].figures
    ]
    assert len(charts) == 9
    assert all(" A</text>" in figure.wide and " B</text>" in figure.wide for figure in charts)


def test_two_runs_of_one_scenario_and_machine_have_no_warning() -> None:
    assert comparison.warnings(runs.sample_run(), second_run()) == ()
    assert comparison_page().sections[0].title == "Targets"


def test_runs_of_different_scenarios_have_a_warning() -> None:
    first = runs.empty_run(complete=True)
    second = runs.empty_run(scenario={**runs.summary().scenario, "seed": 8}, kind="simulate")
    reasons = comparison.warnings(first, second)
    assert reasons[0] == "The scenarios differ in: seed. A difference may be theirs."
    assert "load run and B a simulate run" in reasons[1] and reasons[-1] == "B was stopped before its end."
    assert comparison.page(first, second).sections[0].texts == reasons


def test_a_run_without_a_target_is_shown_as_not_asked() -> None:
    first = runs.empty_run(verdicts=runs.summary().verdicts)
    (targets,) = [
        section for section in comparison.page(first, runs.empty_run()).sections if section.title == "Targets"
    ]
    assert targets.tables[0].rows[0] == ("p95_ms", "3,000 ms", "2,310 ms", "held", "not asked", "")


def test_two_runs_without_data_can_be_compared() -> None:
    page = comparison.page(runs.empty_run(), runs.empty_run())
    assert [section.texts for section in page.sections if section.title == "Queues"] == [
        ("Not known: nobody asked for the queues.",)
    ]


def test_the_terminal_output_shows_the_figures_without_parsing_markup() -> None:
    output = io.StringIO()
    second = second_run(scenario={"[red]x": 1})
    comparison.show(runs.sample_run(), second, Console(file=output, width=140))
    text = output.getvalue()
    assert "[red]x" in text and "-50.0 %" in text and "MISSED" in text


def test_the_command_prints_the_path_of_its_file(tmp_path: Path) -> None:
    record.save(runs.empty_run(), tmp_path / "a")
    record.save(runs.empty_run(), tmp_path / "b")
    out = tmp_path / "out" / "ab.html"
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert f"left in {out}" in result.output and out.read_text("utf-8").startswith("<!doctype html>")


def test_the_error_for_a_directory_without_a_run_names_it(tmp_path: Path) -> None:
    record.save(runs.sample_run(), tmp_path / "a")
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "a"), str(tmp_path / "nothing")])
    assert result.exit_code != 0 and "nothing: holds no run that can be read" in str(result.exception)
