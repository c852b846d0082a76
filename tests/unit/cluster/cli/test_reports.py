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


def test_a_model_is_shown_with_its_price_its_last_day_and_its_successor() -> None:
    rows = {row["model"]: row for row in models.report(load_catalogue(), DAY)}
    mini = rows["gpt-4o-mini"]
    assert mini["usd_per_million"] == {"input_tokens": 0.15, "output_tokens": 0.6, "cached_input_tokens": 0.075}
    assert (mini["vendor"], mini["tier"], mini["services"]) == ("openai", "simple", ["vision", "llm"])
    assert (mini["retires_on"], mini["days_left"], mini["successor"]) == ("2027-01-14", 50, "gpt-6-luna")
    assert rows["claude-3-5-sonnet"]["retired"] and not mini["retired"]


def test_the_table_has_a_line_for_every_model() -> None:
    out = io.StringIO()
    models.show(load_catalogue(), DAY, Console(file=out, width=140), as_json=False)
    lines = out.getvalue().splitlines()
    for name in load_catalogue().models:
        assert sum(line.split()[:1] == [name] for line in lines) == 1, name
    (retired,) = [line for line in lines if line.split()[:1] == ["claude-3-5-sonnet"]]
    assert "in 3, out 15" in retired and "retired" in retired and "claude-sonnet-5-5" in retired


def test_models_as_json_is_json() -> None:
    result = CliRunner().invoke(app, ["models", "--json"])
    assert result.exit_code == 0
    assert {row["model"] for row in json.loads(result.stdout)} == set(load_catalogue().models)


def test_route_eval_as_json_holds_every_measure(labels: Path) -> None:
    result = CliRunner().invoke(app, ["route-eval", str(labels), "--share", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["prompts"], told["weak_correct"], told["strong_correct"], told["share"]) == (100, 0.5, 1.0, 0.5)
    assert [quality["name"] for quality in told["qualities"]] == ["scorer", "length", "random", "oracle"]
    assert told["qualities"][0]["pgr_at_share"] == pytest.approx(1.0)
    assert set(told["held"]) >= {"share", "trailing_share", "gap_recovered", "capped"}


def test_the_table_of_route_eval_ranks_four_ways_and_tells_the_held_share(labels: Path) -> None:
    out = io.StringIO()
    route_eval.show(route_eval.evaluate_file(labels, 0.3), Console(file=out, width=120), as_json=False)
    firsts = [line.split()[0] for line in out.getvalue().splitlines() if line.split()]
    assert [name for name in firsts if name in ("scorer", "length", "random", "oracle")] == firsts[3:7]
    assert "with 30% to hold" in out.getvalue()


def test_a_file_that_cannot_be_used_is_an_error_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("prompt,weak_correct,strong_correct\na,1,1\n", "utf-8")
    with pytest.raises(BadInput, match=r"labels\.csv: the strong model is right no more often"):
        route_eval.evaluate_file(file, 0.3)


def test_the_help_of_route_eval_states_its_measures() -> None:
    text = CliRunner().invoke(app, ["route-eval", "--help"]).stdout
    assert "APGR" in text and "CPT50" in text and "--share" in text
