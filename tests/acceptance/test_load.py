"""`rayroom load` starts its own app on Ray Serve, measures it, and leaves no process behind."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from cluster.costs.journal_reader import read_settled_nanousd
from cluster.lab.results import record
from tests.support.load_app import children, running_load, wait_for_exit, write_scenario

TIMEOUT_S = 300


@pytest.mark.timeout(600)
async def test_a_scenario_starts_its_own_app_and_reports_the_billed_costs(tmp_path: Path) -> None:
    # The user stops this run; tests/integration/cluster/test_load.py has one that ends by itself.
    file = write_scenario(tmp_path, length_s=600, vendors={"speed": 5})
    async with running_load(file, "--replay", "--out", tmp_path / "run") as process:
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            while b" s: 4 rooms, " not in (line := await process.stdout.readline()):
                assert line, "the load ended before its rooms were open"
        process.send_signal(signal.SIGINT)
        status, output, errors = await wait_for_exit(process)
        assert not children(process.pid)
    assert status == 0, output + errors
    run = record.load(tmp_path / "run")
    totals, details = run.summary.totals, run.summary.details
    assert not run.summary.complete and totals.seconds < 600 and (tmp_path / "run" / "report.html").exists()
    assert totals.kept == totals.answered + totals.shed + totals.failed
    assert totals.app_cpu_s and totals.driver_cpu_s
    assert {row["deployment"] for row in run.replicas.to_pylist()} == {"router", "vision", "llm", "embeddings"}
    assert all(seconds > 0 for seconds in totals.replica_seconds.values())
    settled_nanousd = sum(read_settled_nanousd(tmp_path / "run" / "app" / "journal.db").values())
    assert sum(details["settled_nanousd"].values()) == settled_nanousd >= details["answers_nanousd"] > 0
