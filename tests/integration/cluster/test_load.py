"""`rayroom load` against a running app: its counts match the app's, and it ends on a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.compute as pc
import pytest

from cluster.cli.main import main
from cluster.lab.results import record
from tests.support.gateway import KEYS
from tests.support.load_app import TIMEOUT_S, children, load_app, running_load, wait_for_exit, write_scenario


@pytest.mark.parametrize(
    ("option", "targets"), [("--replay", {"p95_ms": 0.001}), ("--processes=2", {"shed_share": 0.9})]
)
async def test_a_load_counts_every_frame_once_and_its_answers_match_the_bill(
    tmp_path: Path, option: str, targets: dict[str, float]
) -> None:
    file, holds = write_scenario(tmp_path, targets=targets), "shed_share" in targets
    async with load_app(tmp_path) as (url, cluster):
        async with running_load(file, "--url", url, "--out", tmp_path / "run", option) as process:
            status, stdout, stderr = await wait_for_exit(process)
        assert status == (0 if holds else 1), stdout + stderr
        run = record.load(tmp_path / "run")
        events = await cluster.events()
    totals, traffic = run.summary.totals, run.traffic
    assert run.summary.complete and run.summary.kind == ("replay" if option == "--replay" else "load")
    # Five seconds of frames for each of four rooms: the due frames are fixed, however slow this machine is.
    assert totals.seen == (20 if option == "--replay" else totals.repeats + totals.kept)
    assert totals.seen == totals.repeats + totals.kept
    assert totals.kept == totals.answered + totals.shed + totals.failed
    assert [pc.sum(traffic[name]).as_py() for name in ("seen", "kept")] == [totals.seen, totals.kept]
    assert sum(int(str(event["cost_nanousd"])) for event in events) == run.summary.details["answers_nanousd"] > 0
    assert {str(event["service"]) for event in events} == {"vision", "llm"}
    assert totals.own_p95_ms is not None and totals.p95_ms is not None and totals.own_p95_ms <= totals.p95_ms
    assert (tmp_path / "run" / "report.html").exists()
    assert [verdict.held for verdict in run.summary.verdicts] == [holds] and ("MISSED: p95_ms" in stdout) is not holds


async def until_first_figures(process: asyncio.subprocess.Process) -> None:
    """Wait for the first figures."""
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        while b" s: " not in await process.stdout.readline():
            assert process.returncode is None


async def test_ctrl_c_twice_leaves_no_process_and_no_half_written_report(tmp_path: Path) -> None:
    async with load_app(tmp_path) as (url, _):
        file = write_scenario(tmp_path, length_s=600)
        async with running_load(file, "--url", url, "--out", tmp_path / "run", "--replay") as process:
            await until_first_figures(process)
            descendants = children(process.pid)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            status, stdout, _ = await wait_for_exit(process)
            gone, alive = psutil.wait_procs(descendants, timeout=TIMEOUT_S)
    assert status > 128 and "no report" in stdout and gone and not alive
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


async def rejection_of(*args: object, key: str = "agent-key-0123456789") -> str:
    """Run a load that must be rejected before it begins; return its error output."""
    async with running_load(*args, key=key) as process:
        status, stdout, stderr = await wait_for_exit(process)
    assert status == 2 and not stdout
    return stderr


@pytest.fixture
def rejected_load(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a load in this process that must be rejected without an app; return its error output."""

    def rejected(*args: object) -> str:
        monkeypatch.setattr("sys.argv", ["rayroom", "load", *map(str, args)])
        monkeypatch.setenv("RAYROOM_AGENT_KEYS", KEYS.agent[0])
        with pytest.raises(SystemExit) as ended:
            main()
        stdout, stderr = capsys.readouterr()
        assert ended.value.code == 2 and not stdout
        return stderr

    return rejected


def test_an_unreachable_app_is_reported_before_the_run(tmp_path: Path, rejected_load: Callable[..., str]) -> None:
    message = rejected_load(write_scenario(tmp_path), "--url", "http://127.0.0.1:9", "--out", tmp_path / "run")
    assert "no app is ready there" in message and not (tmp_path / "run").exists()


async def test_a_rejected_agent_key_is_reported_before_the_run(tmp_path: Path) -> None:
    async with load_app(tmp_path) as (url, cluster):
        message = await rejection_of(write_scenario(tmp_path), "--url", url, key="another-apps-key-0123456789")
        assert "refuses the agent key" in message and not await cluster.events()


async def test_an_unknown_tenant_is_named(tmp_path: Path) -> None:
    async with load_app(tmp_path, tenants=2) as (url, _):
        message = await rejection_of(write_scenario(tmp_path, tenants={"count": 3}), "--url", url)
    assert "does not know the tenant load-3" in message


def test_an_invalid_scenario_is_named_with_its_key_and_line(tmp_path: Path, rejected_load: Callable[..., str]) -> None:
    file = write_scenario(tmp_path, arrivals={"kind": "steady", "rooms": -4})
    message = rejected_load(file)
    assert f"{file}:3" in message and "arrivals" in message and "-4" in message


async def test_a_search_without_a_result_lists_its_attempts(tmp_path: Path) -> None:
    file = write_scenario(tmp_path, length_s=5, arrivals={"kind": "steady", "rooms": 2}, targets={"p95_ms": 0.001})
    async with load_app(tmp_path) as (url, _):
        async with running_load(file, "--url", url, "--find-max", "--out", tmp_path / "run") as process:
            status, stdout, stderr = await wait_for_exit(process)
    assert status == 1, stdout + stderr
    assert "2 rooms: missed" in stdout and "1 rooms: missed" in stdout and "0 rooms hold the targets" in stdout
    assert not record.load(tmp_path / "run").summary.verdicts[0].held


def test_a_search_without_a_target_is_rejected(tmp_path: Path, rejected_load: Callable[..., str]) -> None:
    message = rejected_load(write_scenario(tmp_path, targets={}), "--url", "http://127.0.0.1:9", "--find-max")
    assert "needs a target" in message
