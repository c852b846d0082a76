"""Writes what a demo leaves behind: the run and its tables, a contact sheet of each room's kept frames, the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.lab.demo.contact_sheet import SheetFrame, write_sheet
from cluster.lab.report import report
from cluster.lab.report.page import Section
from cluster.lab.results import record


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """What was written."""

    report: Path
    sheets: tuple[Path, ...]


def write_report(
    directory: Path, run: record.Run, frames: Mapping[str, Sequence[SheetFrame]], more: Sequence[Section] = ()
) -> WrittenReport:
    """Write the run, one PNG for each room of `frames`, and the report with `more` sections of the demo's own."""
    record.save(run, directory)
    sheets = []
    for room, kept in frames.items():
        sheet = directory / f"{room}.png"
        write_sheet(sheet, room, kept)
        sheets.append(sheet)
    return WrittenReport(report=report.write(run, directory, more), sheets=tuple(sheets))


def read_frames(directory: Path, start_s: float | None = None) -> list[SheetFrame]:
    """Return a room's recorded frames in the order they were captured; none where nothing was recorded.

    Their times count from `start_s`, a UNIX time, or from the first of them.
    """
    lines = directory / "frames.jsonl"
    if not lines.exists():
        return []
    rows = sorted(map(json.loads, lines.read_text("utf-8").splitlines()), key=lambda row: float(row["captured_at_s"]))
    if start_s is None:
        start_s = float(rows[0]["captured_at_s"]) if rows else 0.0
    return [
        SheetFrame(
            jpeg=(directory / row["file"]).read_bytes(),
            at_s=float(row["captured_at_s"]) - start_s,
            why=row["why"],
            tier=row["tier"],
            model=row["model"],
            cost_nanousd=row["cost_nanousd"],
            answer_ms=row["answer_ms"],
        )
        for row in rows
    ]
