"""The output of `rayroom models` and `rayroom route-eval`."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cluster.cli import models, route_eval
from cluster.cli.main import app
from routing.catalogue import load_catalogue
from routing.errors import BadInput

DAY = dt.date(2026, 11, 25)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"why {'x' * length}", "weak_correct": length < 50, "strong_correct": 1} for length in range(100)
    ]
    file = tmp_path / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return file


def test_a_model_has_its_price_retirement_date_and_successor() -> None:
    rows = {row["model"]: row for row in models.report(load_catalogue(), DAY)}
    gpt_4o_mini = rows["gpt-4o-mini"]
    assert gpt_4o_mini["usd_per_million"] == {"input_tokens": 0.15, "output_tokens": 0.6, "cached_input_tokens": 0.075}
    assert (gpt_4o_mini["vendor"], gpt_4o_mini["tier"], gpt_4o_mini["services"]) == (
        "openai",
        "simple",
        ["vision", "llm"],
    )
    assert (gpt_4o_mini["retires_on"], gpt_4o_mini["days_left"], gpt_4o_mini["successor"]) == (
        "2027-01-14",
        50,
        "gpt-6-luna",
    )
    assert rows["claude-3-5-sonnet"]["retired"] and not gpt_4o_mini["retired"]


def test_the_table_has_a_line_for_every_model() -> None:
    output = io.StringIO()
    models.show(load_catalogue(), DAY, Console(file=output, width=140), as_json=False)
    lines = output.getvalue().splitlines()
    for name in load_catalogue().models:
        assert sum(line.split()[:1] == [name] for line in lines) == 1, name
    (retired,) = [line for line in lines if line.split()[:1] == ["claude-3-5-sonnet"]]
    assert "in 3, out 15" in retired and "retired" in retired and "claude-sonnet-5-5" in retired


def test_models_prints_json() -> None:
    result = CliRunner().invoke(app, ["models", "--json"])
    assert result.exit_code == 0
    assert {row["model"] for row in json.loads(result.stdout)} == set(load_catalogue().models)


def test_the_json_of_route_eval_holds_every_measure(labels: Path) -> None:
    result = CliRunner().invoke(app, ["route-eval", str(labels), "--share", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    evaluation = json.loads(result.stdout)
    assert (evaluation["prompts"], evaluation["weak_correct"], evaluation["strong_correct"], evaluation["share"]) == (
        100,
        0.5,
        1.0,
        0.5,
    )
    assert [quality["name"] for quality in evaluation["qualities"]] == ["scorer", "length", "random", "oracle"]
    assert evaluation["qualities"][0]["pgr_at_share"] == pytest.approx(1.0)
    assert set(evaluation["held"]) >= {"share", "trailing_share", "gap_recovered", "capped"}


def test_the_table_of_route_eval_has_four_rankings_and_the_held_share(labels: Path) -> None:
    output = io.StringIO()
    route_eval.show(route_eval.evaluate_file(labels, 0.3), Console(file=output, width=120), as_json=False)
    first_words = [line.split()[0] for line in output.getvalue().splitlines() if line.split()]
    assert [name for name in first_words if name in ("scorer", "length", "random", "oracle")] == first_words[3:7]
    assert "with 30% to hold" in output.getvalue()


def test_an_unusable_file_raises_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("prompt,weak_correct,strong_correct\na,1,1\n", "utf-8")
    with pytest.raises(BadInput, match=r"labels\.csv: the strong model is right no more often"):
        route_eval.evaluate_file(file, 0.3)


def test_the_help_of_route_eval_explains_its_measures() -> None:
    text = CliRunner().invoke(app, ["route-eval", "--help"]).stdout
    assert "APGR" in text and "CPT50" in text and "--share" in text
