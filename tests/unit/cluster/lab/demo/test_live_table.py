"""The live table of a demo, and its files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from cluster.lab.demo import live_table
from cluster.lab.demo.results import read_frames, write_report
from cluster.lab.results import record
from tests.support import runs

ROOM = "tenant_acme_demo-1"
COUNTERS = {"frames_seen": 45, "frames_kept": 12, "frames_repeated": 33, "frames_shed": 1, "answers": 11}
USAGE: dict[str, Any] = {
    "settled_nanousd": 1_234_567_890,
    "sent_nanousd": 1_000_000_000,
    "requests": 11,
    "rooms": [{"room": ROOM, "counters": COUNTERS | {"answer_p50_ms": 701.6, "answer_p95_ms": 1_204.4}}],
}


def table_words(usages: dict[str, Any], width: int = 80) -> list[list[str]]:
    """Return the words of each line of the table on a terminal with this width."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(live_table.draw(usages, remaining_s=12.4))
    return [line.split() for line in console.export_text().splitlines()]


def test_the_table_shows_frames_and_times_by_room_and_costs_by_tenant() -> None:
    lines = table_words({"acme": USAGE})
    assert [ROOM, "45", "12", "33", "1", "11", "702", "1204"] in lines
    assert ["acme", "11", "$1.234567890", "$1.000000000"] in lines
    assert any(line[:2] == ["SIMULATED", "MODELS:"] for line in lines)


def test_a_room_without_an_answer_shows_no_time() -> None:
    room = {"room": ROOM, "counters": {"frames_seen": 1}}
    assert [ROOM, "1", "0", "0", "0", "0", "-", "-"] in table_words({"acme": {"rooms": [room]}})


def record_frame(directory: Path, number: int, captured_at_s: float) -> dict[str, Any]:
    name = f"{number:05}.jpeg"
    Image.new("RGB", (64, 36), "white").save(directory / name)
    details = {"why": "scene changed", "model": "simulated/m", "tier": "simple", "cost_nanousd": 5, "answer_ms": 7.0}
    return {"file": name, "captured_at_s": captured_at_s, **details}


def test_frames_are_read_in_capture_order(tmp_path: Path) -> None:
    rows = [record_frame(tmp_path, 1, 103.5), record_frame(tmp_path, 2, 100.0)]
    (tmp_path / "frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [frame.at_s for frame in read_frames(tmp_path)] == [0.0, 3.5]
    assert [frame.at_s for frame in read_frames(tmp_path, start_s=98.0)] == [2.0, 5.5]
    assert read_frames(tmp_path / "nothing") == []


def test_a_report_has_tables_a_page_and_a_sheet_per_room(tmp_path: Path) -> None:
    written = write_report(tmp_path, runs.sample_run(kind="demo"), {ROOM: [], "tenant_globex_demo-2": []})
    assert [sheet.read_bytes()[:8] for sheet in written.sheets] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert record.load(tmp_path).summary.kind == "demo"
    assert written.report == tmp_path / "report.html" and "demo: nine-oclock" in written.report.read_text("utf-8")
