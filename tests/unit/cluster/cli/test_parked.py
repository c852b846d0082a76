"""`rayroom parked` lists the windows that need an operator, and sends them again beside a running aggregator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from tests.support.backend_in_memory import BackendInMemory
from tests.support.flush_bench import PARK_AFTER_S, FlushBench, flush_bench


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def config(tmp_path: Path, journal: Path) -> Path:
    file = tmp_path / "config.yaml"
    shipped = Path("serve_config.yaml").read_text("utf-8")
    file.write_text(shipped.replace("journal_path: .rayroom/journal.db", f"journal_path: {journal}"), "utf-8")
    return file


@pytest.fixture
async def bench(journal: Path) -> AsyncIterator[FlushBench]:
    """A running journal with a parked window of two tenants each."""
    backend = BackendInMemory(row_fault=lambda row: "refuses")
    async with flush_bench(journal, backend) as bench:
        await bench.spend(5)
        await bench.spend(7, "globex")
        await bench.rounds(3, every_s=PARK_AFTER_S)
        backend.row_fault = lambda row: "none"
        yield bench


def run(config: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["parked", "--config", str(config), *options])
    return result.exit_code, result.stdout


async def test_parked_windows_are_listed_with_their_sum_and_the_exit_status_is_one(
    bench: FlushBench, config: Path
) -> None:
    status, table = run(config)
    assert status == 1 and "BAD_REQUEST" in table and "2 windows, $0.000000012" in table
    status, text = run(config, "--tenant", "globex", "--json")
    (window,) = json.loads(text)
    assert status == 1 and (window["state"], window["tenant_id"], window["cost_nanousd"]) == ("parked", "globex", 7)


async def test_resent_windows_of_one_tenant_are_sent_by_the_running_flusher(bench: FlushBench, config: Path) -> None:
    status, text = run(config, "--tenant", "acme", "--resend")
    assert status == 0 and text.startswith("1 windows are sent again.")
    await bench.rounds(1)
    assert await bench.sent_nanousd("acme") == 5 and await bench.sent_nanousd("globex") == 0


def test_a_file_that_is_no_journal_is_named(config: Path, journal: Path) -> None:
    journal.write_text("no journal")
    result = CliRunner().invoke(app, ["parked", "--config", str(config)])
    assert result.exit_code == 1 and "journal.db cannot be read as a journal" in str(result.exception)
