"""The demo ends with equal totals, and leaves no process behind whenever it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from cluster.lab.results import record
from cluster.lab.stack.plan import VOICE_ROOM, demo_rooms
from cluster.lab.stack.ports import free_ports
from cluster.lab.stack.ray_node import STARTED_LINE, ray_environment, write_config

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MARK = "RAYROOM_TEST_RUN"
START_TIMEOUT_S = 300.0


@contextmanager
def command(*arguments: str, expect_clean_exit: bool = True, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a running command; all its processes carry a mark in their environment, by which they are found on exit."""
    marked = {**os.environ, **environment, MARK: f"{os.getpid()}-{time.monotonic_ns()}"}
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=marked,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdout is not None
        process.stdout.close()
        remaining = marked_processes(marked[MARK])
        for process_left in remaining:
            process_left.kill()
        process.wait(120)
    assert remaining == [] or not expect_clean_exit


def marked_processes(mark: str) -> list[psutil.Process]:
    """Return every running process of this machine that carries the mark."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def demo(directory: Path, *options: str) -> tuple[str, ...]:
    return (str(BIN / "rayroom"), "demo", "--directory", str(directory), *options)


def test_a_demo_keeps_frames_drops_repeats_and_ends_with_equal_totals(tmp_path: Path) -> None:
    with command(*demo(tmp_path / "run", "--seconds", "30", "--rooms", "2")) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(120) == 0, output
    run = record.load(tmp_path / "run")
    details = run.summary.details
    rooms = {room["room"]: room["counters"] for usage in details["tenants"].values() for room in usage["rooms"]}
    assert details["equal"] is True and details["simulated"] is True and "SIMULATED" in output
    voice_counters = rooms.pop(VOICE_ROOM)
    assert set(rooms) == set(demo_rooms(2))
    assert all(counters["frames_kept"] > 0 and counters["frames_repeated"] > 0 for counters in rooms.values())
    assert all(row["journal_nanousd"] == row["backend_nanousd"] > 0 for row in details["reconciliation"])
    for room in rooms:
        with Image.open(tmp_path / "run" / f"{room}.png") as image:
            assert image.format == "PNG" and image.width > 1_000
    report = tmp_path / "run" / "report.html"
    assert f"report: {report.as_uri()}" in output and report.read_text("utf-8").count("data:image/jpeg") > 2
    assert run.summary.kind == "demo" and run.summary.totals.cost_nanousd == sum(costs(run, "cost_nanousd")) > 0
    assert sum(costs(run, "every_frame_nanousd")) > sum(costs(run, "changed_small_nanousd")) > 0
    voice, speech = details["voice"], {row["service"]: row for row in details["speech"]}
    assert voice["questions_heard"] == voice_counters["hearing_utterances"] > 0 and voice["answers_spoken"] > 0
    assert voice["voice_heard_ms"] > 500 and min(voice["first_word_p50_ms"], voice["first_sound_p50_ms"]) > 0
    assert [speech[service]["model"] for service in ("stt", "tts")] == [
        "simulated/nova-3",
        "simulated/eleven_flash_v2_5",
    ]
    for row in speech.values():
        assert row["vendor_units"] == row["journal_units"] == row["backend_units"] > 0
        assert row["journal_nanousd"] == row["backend_nanousd"] > 0


def costs(run: record.Run, column: str) -> list[int]:
    values: list[int] = run.tenants.column(column).to_pylist()
    return values


@pytest.mark.parametrize(("line", "number"), [("", signal.SIGINT), (STARTED_LINE, signal.SIGTERM)])
def test_a_demo_that_is_stopped_while_ray_or_the_app_starts_leaves_no_process(
    tmp_path: Path, line: str, number: signal.Signals
) -> None:
    with command(*demo(tmp_path / "run", "--rooms", "1")) as process:
        _wait_until_logged(tmp_path / "run" / "logs" / "ray.log", line)
        process.send_signal(number)
        assert process.wait(120) != 0


def test_a_demo_that_cannot_start_names_the_missing_tool_and_leaves_no_process(tmp_path: Path) -> None:
    only_python = f"{BIN}{os.pathsep}{tmp_path}"
    with command(*demo(tmp_path / "run"), PATH=only_python) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(120) != 0
    assert "missing: node" in output


def test_serve_run_works_without_keys_backend_or_fast_path(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = tmp_path / "serve_config.yaml"
    keys = tmp_path / "keys.env"
    paths = {"costs": {"journal_path": str(tmp_path / "j.db")}, "backend": {"local_path": str(tmp_path / "b.db")}}
    write_config(ROOT / "serve_config.yaml", config, port, {**paths, "keys": {"file": str(keys)}})
    slow_path = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}
    environment = {**ray_environment(tmp_path), **slow_path, "RAY_TMPDIR": f"/tmp/rt-{os.getpid()}"}
    # Ray ends some time after `serve run`, so its last processes are no error.
    with command(str(BIN / "serve"), "run", str(config), expect_clean_exit=False, **environment) as process:
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        assert "RAYROOM_AGENT_KEYS=" in keys.read_text()
        assert httpx.get(f"http://127.0.0.1:{port}/v1/tenants/acme/usage").status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        output = process.stdout.read()
        process.wait(120)
    assert "fast path disabled" in output and "vendors simulated" in output and "keys generated" in output


def _wait_until_logged(log: Path, line: str) -> None:
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s:
        if log.exists() and line in log.read_text("utf-8", "replace"):
            return
        time.sleep(0.1)
    raise TimeoutError(line)


def _wait_until_ready(url: str) -> None:
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise TimeoutError(url)
