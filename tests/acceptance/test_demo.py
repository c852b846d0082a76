"""The demo ends with equal books, and leaves no process behind at any moment of its end."""

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
from cluster.lab.stack.ray_node import ray_environment, write_config

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MARK = "RAYROOM_TEST_RUN"


@contextmanager
def command(*words: str, tidy: bool = True, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a running command whose processes all carry a mark in their environment; a tidy one leaves none behind."""
    marked = {**os.environ, **environment, MARK: f"{os.getpid()}-{time.monotonic_ns()}"}
    process = subprocess.Popen(
        words, cwd=ROOT, env=marked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        assert process.stdout is not None
        process.stdout.close()
        left = marked_processes(marked[MARK])
        for one in left:
            one.kill()
        process.wait(120)
    assert left == [] or not tidy


def marked_processes(mark: str) -> list[psutil.Process]:
    """Return every live process of this machine that carries the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def demo(directory: Path, *options: str) -> tuple[str, ...]:
    return (str(BIN / "rayroom"), "demo", "--directory", str(directory), *options)


def test_a_demo_ends_with_frames_kept_repeats_dropped_and_equal_totals(tmp_path: Path) -> None:
    with command(*demo(tmp_path / "run", "--seconds", "40", "--rooms", "2")) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(120) == 0, output
    whole = record.load(tmp_path / "run")
    run = whole.summary.details
    rooms = {room["room"]: room["counters"] for usage in run["tenants"].values() for room in usage["rooms"]}
    assert run["equal"] is True and run["simulated"] is True and "SIMULATED" in output
    talked = rooms.pop(VOICE_ROOM)
    assert set(rooms) == set(demo_rooms(2))
    assert all(one["frames_kept"] > 0 and one["frames_repeated"] > 0 for one in rooms.values())
    assert all(row["journal_nanousd"] == row["backend_nanousd"] > 0 for row in run["reconciliation"])
    for room in rooms:
        with Image.open(tmp_path / "run" / f"{room}.png") as sheet:
            assert sheet.format == "PNG" and sheet.width > 1_000
    report = tmp_path / "run" / "report.html"
    assert f"report: {report.as_uri()}" in output and report.read_text("utf-8").count("data:image/jpeg") > 2
    assert whole.summary.kind == "demo" and whole.summary.totals.cost_nanousd == sum(costs(whole, "cost_nanousd")) > 0
    assert sum(costs(whole, "every_frame_nanousd")) > sum(costs(whole, "changed_small_nanousd")) > 0
    voice, speech = run["voice"], {row["service"]: row for row in run["speech"]}
    assert voice["questions_heard"] == talked["hearing_utterances"] > 0 and voice["answers_spoken"] > 0
    assert voice["voice_heard_ms"] > 500 and min(voice["first_word_p50_ms"], voice["first_sound_p50_ms"]) > 0
    assert [speech[service]["model"] for service in ("stt", "tts")] == [
        "simulated/nova-3",
        "simulated/eleven_flash_v2_5",
    ]
    for row in speech.values():
        assert row["vendor_units"] == row["journal_units"] == row["backend_units"] > 0
        assert row["journal_nanousd"] == row["backend_nanousd"] > 0


def costs(run: record.Run, column: str) -> list[int]:
    found: list[int] = run.tenants.column(column).to_pylist()
    return found


@pytest.mark.parametrize(("after_s", "number"), [(1.5, signal.SIGINT), (12.0, signal.SIGTERM)])
def test_a_demo_stopped_at_any_moment_leaves_no_process(tmp_path: Path, after_s: float, number: signal.Signals) -> None:
    with command(*demo(tmp_path / "run", "--rooms", "1")) as process:
        time.sleep(after_s)
        process.send_signal(number)
        assert process.wait(120) != 0


def test_a_demo_that_cannot_start_says_which_tool_is_missing_and_leaves_no_process(tmp_path: Path) -> None:
    only_python = f"{BIN}{os.pathsep}{tmp_path}"
    with command(*demo(tmp_path / "run"), PATH=only_python) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(120) != 0
    assert "missing: node" in output


def test_serve_run_works_by_itself_without_keys_backend_or_fast_path(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = tmp_path / "serve_config.yaml"
    keys = tmp_path / "keys.env"
    places = {"costs": {"journal_path": str(tmp_path / "j.db")}, "backend": {"local_path": str(tmp_path / "b.db")}}
    write_config(ROOT / "serve_config.yaml", config, port, {**places, "keys": {"file": str(keys)}})
    slow_path = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}
    environment = {**ray_environment(tmp_path), **slow_path, "RAY_TMPDIR": f"/tmp/rt-{os.getpid()}"}
    # Ray ends some time after `serve run`; its last processes are no fault of the demo.
    with command(str(BIN / "serve"), "run", str(config), tidy=False, **environment) as process:
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        assert "RAYROOM_AGENT_KEYS=" in keys.read_text()
        assert httpx.get(f"http://127.0.0.1:{port}/v1/tenants/acme/usage").status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        output = process.stdout.read()
        process.wait(120)
    assert "fast path disabled" in output and "vendors simulated" in output and "keys generated" in output


def _wait_until_ready(url: str) -> None:
    end_s = time.monotonic() + 300
    while time.monotonic() < end_s:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise TimeoutError(url)
