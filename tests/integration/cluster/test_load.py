"""`rayroom load` against an app that runs: what it counts is what the app was asked, and it ends as it is told to."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import psutil
import pyarrow.compute as pc
import pytest

from cluster.lab.results import record
from tests.support.load_app import TIMEOUT_S, children, load_app, running_load, wait_for_exit, write_scenario


@pytest.mark.parametrize("how", ["--replay", "--processes=2"])
async def test_a_load_counts_every_frame_once_and_its_answers_are_the_bill(tmp_path: Path, how: str) -> None:
    async with load_app(tmp_path) as (url, world):
        async with running_load(write_scenario(tmp_path), "--url", url, "--out", tmp_path / "run", how) as process:
            status, said, complained = await wait_for_exit(process)
        assert status == 0, said + complained
        run = record.load(tmp_path / "run")
        events = await world.events()
    totals, traffic = run.summary.totals, run.traffic
    assert run.summary.complete and run.summary.kind == ("replay" if how == "--replay" else "load")
    # Five seconds of frames for each of four rooms: the due frames are fixed, however slow this machine is.
    assert totals.seen == (20 if how == "--replay" else totals.repeats + totals.kept)
    assert totals.seen == totals.repeats + totals.kept
    assert totals.kept == totals.answered + totals.shed + totals.failed
    assert [pc.sum(traffic[name]).as_py() for name in ("seen", "kept")] == [totals.seen, totals.kept]
    assert sum(int(str(event["cost_nanousd"])) for event in events) == run.summary.details["answers_nanousd"] > 0
    assert {str(event["service"]) for event in events} == {"vision", "llm"}
    assert totals.own_p95_ms is not None and totals.p95_ms is not None and totals.own_p95_ms <= totals.p95_ms
    assert (tmp_path / "run" / "report.html").exists()


async def test_a_target_that_does_not_hold_is_the_exit_status(tmp_path: Path) -> None:
    file = write_scenario(tmp_path, targets={"p95_ms": 0.001})
    async with load_app(tmp_path) as (url, _):
        async with running_load(file, "--url", url, "--out", tmp_path / "run", "--replay") as process:
            status, said, _ = await wait_for_exit(process)
    assert status == 1 and "MISSED: p95_ms" in said
    (verdict,) = record.load(tmp_path / "run").summary.verdicts
    assert not verdict.held


async def until_it_runs(process: asyncio.subprocess.Process) -> None:
    """Wait for the first figures."""
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        while b" s: " not in await process.stdout.readline():
            assert process.returncode is None


async def test_ctrl_c_ends_a_load_early_and_still_writes_the_report(tmp_path: Path) -> None:
    async with load_app(tmp_path) as (url, _):
        file = write_scenario(tmp_path, length_s=600)
        async with running_load(file, "--url", url, "--out", tmp_path / "run", "--replay") as process:
            await until_it_runs(process)
            process.send_signal(signal.SIGINT)
            status, said, complained = await wait_for_exit(process)
            assert not children(process.pid)
    assert status == 0, said + complained
    run = record.load(tmp_path / "run")
    assert not run.summary.complete and run.summary.totals.seconds < 600
    assert run.summary.totals.kept == run.summary.totals.answered + run.summary.totals.shed + run.summary.totals.failed


async def test_ctrl_c_twice_leaves_no_process_and_no_half_written_report(tmp_path: Path) -> None:
    async with load_app(tmp_path) as (url, _):
        file = write_scenario(tmp_path, length_s=600)
        async with running_load(file, "--url", url, "--out", tmp_path / "run", "--replay") as process:
            await until_it_runs(process)
            left = children(process.pid)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            status, said, _ = await wait_for_exit(process)
            gone, alive = psutil.wait_procs(left, timeout=TIMEOUT_S)
    assert status > 128 and "no report" in said and gone and not alive
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


async def refused(*args: object, key: str = "agent-key-0123456789") -> str:
    """Run a load that must be refused before it begins; return the reason."""
    async with running_load(*args, key=key) as process:
        status, said, complained = await wait_for_exit(process)
    assert status == 2 and not said
    return complained


async def test_an_app_that_is_not_there_is_said_before_anything_begins(tmp_path: Path) -> None:
    said = await refused(write_scenario(tmp_path), "--url", "http://127.0.0.1:9", "--out", tmp_path / "run")
    assert "no app is ready there" in said and not (tmp_path / "run").exists()


async def test_a_key_that_the_app_refuses_is_said_before_anything_begins(tmp_path: Path) -> None:
    async with load_app(tmp_path) as (url, world):
        said = await refused(write_scenario(tmp_path), "--url", url, key="another-apps-key-0123456789")
        assert "refuses the agent key" in said and not await world.events()


async def test_a_tenant_that_the_app_does_not_know_is_named(tmp_path: Path) -> None:
    async with load_app(tmp_path, tenants=2) as (url, _):
        said = await refused(write_scenario(tmp_path, tenants={"count": 3}), "--url", url)
    assert "does not know the tenant load-3" in said


async def test_a_wrong_scenario_is_named_with_its_key_and_line(tmp_path: Path) -> None:
    file = write_scenario(tmp_path, arrivals={"kind": "steady", "rooms": -4})
    said = await refused(file)
    assert f"{file}:3" in said and "arrivals" in said and "-4" in said


async def test_a_search_that_finds_no_number_of_rooms_says_what_it_tried(tmp_path: Path) -> None:
    file = write_scenario(tmp_path, length_s=5, arrivals={"kind": "steady", "rooms": 2}, targets={"p95_ms": 0.001})
    async with load_app(tmp_path) as (url, _):
        async with running_load(file, "--url", url, "--find-max", "--out", tmp_path / "run") as process:
            status, said, complained = await wait_for_exit(process)
    assert status == 1, said + complained
    assert "2 rooms: missed" in said and "1 rooms: missed" in said and "0 rooms hold the targets" in said
    assert not record.load(tmp_path / "run").summary.verdicts[0].held


async def test_a_search_without_a_target_is_refused(tmp_path: Path) -> None:
    said = await refused(write_scenario(tmp_path, targets={}), "--url", "http://127.0.0.1:9", "--find-max")
    assert "needs a target" in said
