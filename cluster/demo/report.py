"""Writes what a run leaves behind: the run as JSON, and a contact sheet of each room's kept frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.demo.sheet import SheetFrame, write_sheet


def write_report(directory: Path, run: Mapping[str, Any], rooms: Sequence[str]) -> list[Path]:
    """Write `run.json` and one PNG a room; returns the sheets."""
    (directory / "run.json").write_text(json.dumps(run, indent=2) + "\n", "utf-8")
    sheets = []
    for room in rooms:
        sheet = directory / f"{room}.png"
        write_sheet(sheet, room, read_frames(directory / "frames" / room))
        sheets.append(sheet)
    return sheets


def read_frames(directory: Path) -> list[SheetFrame]:
    """Return a room's recorded frames in the order they were captured; none where nothing was recorded."""
    lines = directory / "frames.jsonl"
    if not lines.exists():
        return []
    rows = sorted(map(json.loads, lines.read_text("utf-8").splitlines()), key=lambda row: float(row["captured_at_s"]))
    first_s = float(rows[0]["captured_at_s"]) if rows else 0.0
    return [
        SheetFrame(
            jpeg=(directory / row["file"]).read_bytes(),
            at_s=float(row["captured_at_s"]) - first_s,
            why=row["why"],
            tier=row["tier"],
            model=row["model"],
            cost_nanousd=row["cost_nanousd"],
            answer_ms=row["answer_ms"],
        )
        for row in rows
    ]
