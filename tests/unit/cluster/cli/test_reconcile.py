"""`rayroom reconcile` names the drift between journal, backend and vendors, and its exit status tells of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.backend.sqlite import LocalBackend
from cluster.cli.main import app
from cluster.costs.journal import Journal
from routing.errors import BadInput
from routing.models import Tenant
from tests.support.cost_entries import mark_sent, seal
from tests.support.cost_history import NOVEMBER_S, write_history
from tests.support.vendor_exports import deepgram_usage, openai_cost, openai_page, openai_usage, write

SOL = "gpt-6.1-sol"
TENANTS = [
    Tenant(tenant_id=name, name=name, plan="free", active=True, budget_nanousd=None, requests_per_minute=None)
    for name in ("acme", "globex")
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose journal was sent to the embedded backend as a whole."""
    journal_path, backend_path = tmp_path / "journal.db", tmp_path / "backend.db"
    write_history(journal_path)
    journal = Journal(journal_path)
    rows = seal(journal)
    asyncio.run(LocalBackend(backend_path, TENANTS).track_costs(rows))
    mark_sent(journal, [row.flush_id for row in rows], NOVEMBER_S)
    journal.close()
    shipped = Path("serve_config.yaml").read_text("utf-8")
    changed = shipped.replace("journal_path: .rayroom/journal.db", f"journal_path: {journal_path}")
    changed = changed.replace("url: null", f"url: null\n        local_path: {backend_path}")
    return write(tmp_path / "config.yaml", changed)


@pytest.fixture
def openai(tmp_path: Path) -> Path:
    """OpenAI's report of both months, as the journal has them once its corrections are booked."""
    october = [openai_usage(SOL, 200, 25), openai_cost(f"{SOL}, input", 0.0000012)]
    pages = [openai_page("2026-10-05", *october), openai_page("2026-11-09", openai_usage(SOL, 100, 20))]
    pages.append(openai_page("2026-11-09", openai_cost(f"{SOL}, input", 0.00000007)))
    return write(tmp_path / "openai.json", pages)


def run(config: Path, *words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["reconcile", "--config", str(config), *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def document(config: Path, *words: object) -> tuple[int, dict[str, Any]]:
    status, text = run(config, *words, "--json")
    return status, json.loads(text)


def test_equal_sides_are_exit_status_zero(config: Path, openai: Path, tmp_path: Path) -> None:
    deepgram = write(tmp_path / "deepgram.json", deepgram_usage("2026-10-05", ("nova-3", 1 / 60, 0)))
    status, text = run(config, "--openai", openai, "--deepgram", deepgram)
    assert status == 0, text
    assert "0 windows differ" in text and "0 beyond the tolerance; 0 broken rows" in text


def test_a_vendors_drift_is_named_by_day_model_and_measure(config: Path, tmp_path: Path) -> None:
    usage = write(tmp_path / "usage.json", openai_page("2026-11-09", openai_usage(SOL, 101, 20)))
    status, found = document(config, "--openai", usage)
    drift = [row for row in found["vendors"] if not row["within"]]
    assert status == 1 and not found["within_tolerance"]
    assert [(row["day"], row["model"], row["measure"], row["difference"]) for row in drift] == [
        ("2026-11-09", SOL, "input_tokens", -1)
    ]
    assert run(config, "--openai", usage, "--tolerance", "1")[0] == 0
    assert "DRIFT" in run(config, "--openai", usage)[1]


def test_a_window_that_the_backend_lost_is_named(config: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "backend.db")) as db:
        db.execute("DELETE FROM cost_events WHERE cost_nanousd = 70")
        db.commit()
    status, found = document(config)
    (drift,) = found["backend"]["drift"]
    assert status == 1 and drift["problem"] == "missing at the backend"
    assert (drift["day"], drift["model"], drift["journal_nanousd"]) == ("2026-11-09", SOL, 70)
    assert run(config, "--until", "2026-11-01")[0] == 0


def test_a_broken_row_is_named_and_everything_else_is_compared(config: Path, openai: Path, tmp_path: Path) -> None:
    pages = [*json.loads(openai.read_text("utf-8")), openai_page("2026-11-09", {"object": 5})]
    status, text = run(config, "--openai", write(tmp_path / "broken.json", pages), "--openai", tmp_path / "absent.json")
    assert status == 1
    assert "broken row: broken.json[3] data[0].results[0]: object is no text" in text
    assert "broken row: absent.json" in text and "6 amounts of vendors, 0 beyond the tolerance; 2 broken rows" in text


def test_an_export_of_the_backend_replaces_its_table(config: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", '{"flushId": "other", "costNanousd": "9"}\n')
    status, found = document(config, "--backend-export", rows)
    problems = sorted(one["problem"] for one in found["backend"]["drift"])
    assert status == 1 and problems[-1] == "unknown to the journal"
    assert set(problems[:-1]) == {"missing at the backend"} and found["backend_source"] == "rows.jsonl"


@pytest.mark.parametrize("tolerance", ["-1", "101", "NaN", "one"])
def test_a_tolerance_that_is_no_percentage_is_refused(config: Path, tolerance: str) -> None:
    result = CliRunner().invoke(app, ["reconcile", "--config", str(config), f"--tolerance={tolerance}"])
    assert isinstance(result.exception, BadInput) and result.exception.param == "tolerance"
