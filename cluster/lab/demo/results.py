"""Write the output of a demo: the run and its tables, a contact sheet a room, the report."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.config.settings import AppSettings
from cluster.costs.journal_reader import read_settled_events
from cluster.lab.demo import samples
from cluster.lab.demo.contact_sheet import SheetFrame, write_sheet
from cluster.lab.demo.samples import UsageSample
from cluster.lab.report import report
from cluster.lab.report.page import Section
from cluster.lab.results import record, savings
from cluster.lab.results.savings import FrameCounts, StrongFrame
from cluster.lab.stack.plan import HEARTBEAT_S
from routing.latency import percentile
from routing.models import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """The files that were written."""

    report: Path
    sheets: tuple[Path, ...]


def write_report(
    directory: Path, run: record.Run, frames: Mapping[str, Sequence[SheetFrame]], sections: Sequence[Section] = ()
) -> WrittenReport:
    """Write the run, one PNG for each room of `frames`, and the report with `sections` sections of the demo's own."""
    record.save(run, directory)
    sheets = []
    for room, kept in frames.items():
        sheet = directory / f"{room}.png"
        write_sheet(sheet, room, kept)
        sheets.append(sheet)
    return WrittenReport(report=report.write(run, directory, sections), sheets=tuple(sheets))


def read_frames(directory: Path, start_s: float | None = None) -> list[SheetFrame]:
    """Return a room's recorded frames in capture order; an empty list without a recording.

    Their times count from `start_s`, a UNIX time, or from the first frame.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCosts:
    """The journal's frames: each tenant's sum, and the lengths of the answers."""

    nanousd: Mapping[str, int]
    answers: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameEvidence:
    """The evidence of the rooms that share a screen: their tenants, samples and answered frames."""

    started_at_s: float
    """UNIX time; the frames count from here."""
    seconds: float
    rooms: Mapping[str, str]
    """Each room's tenant."""
    samples: Sequence[UsageSample]
    frames: Sequence[SheetFrame]


def frame_costs(journal: Path) -> FrameCosts:
    """Return the journal's settled costs of vision; raises sqlite3.Error for a file that is not a journal."""
    events = read_settled_events(journal, service="vision")
    nanousd: Counter[str] = Counter()
    for event in events:
        nanousd[event.tenant_id] += event.cost_nanousd
    answered = [event.usage for event in events if event.outcome == Outcome.OK]
    output_tokens = sum(usage.get("output_tokens", 0) for usage in answered)
    return FrameCosts(nanousd=nanousd, answers=len(answered), output_tokens=output_tokens)


def demo_run(
    evidence: FrameEvidence,
    costs: FrameCosts,
    settings: AppSettings,
    details: Mapping[str, Any],
    difference_nanousd: int,
) -> record.Run:
    """Return the demo as a run; `difference_nanousd` is the difference of journal and backend, and must be zero."""
    strong = _strong(evidence, costs, settings)
    verdict = record.TargetVerdict(
        target="books_apart_nanousd", limit=0.0, seen=float(difference_nanousd), held=bool(details["equal"])
    )
    summary = record.Summary(
        kind="demo",
        name="rooms and a voice",
        command=f"rayroom demo --seconds {evidence.seconds:g} --rooms {len(evidence.rooms)}",
        started_at=dt.datetime.fromtimestamp(evidence.started_at_s, dt.UTC).isoformat(timespec="seconds"),
        simulated=bool(details["simulated"]),
        machine=record.this_machine(),
        scenario={"rooms": dict(evidence.rooms), "seconds": evidence.seconds},
        totals=_totals(evidence, costs),
        verdicts=(verdict,),
        notes=_notes(evidence, strong),
        details=dict(details),
    )
    return record.Run(
        summary=summary,
        replicas=record.table(record.REPLICAS),
        traffic=record.table(
            record.TRAFFIC, samples.traffic_rows(evidence.samples, evidence.frames, evidence.started_at_s)
        ),
        latency=record.table(record.LATENCY, samples.latency_rows(evidence.frames)),
        tenants=record.table(record.TENANTS, _tenants(evidence, costs, strong)),
        events=record.table(record.EVENTS),
    )


def _strong(evidence: FrameEvidence, costs: FrameCosts, settings: AppSettings) -> StrongFrame:
    return savings.strong_frame(
        settings.catalogue(),
        settings.vision,
        dt.datetime.fromtimestamp(evidence.started_at_s, dt.UTC).date(),
        long_side_px=settings.rooms.image_long_side_px,
        answer_tokens=savings.mean_tokens(costs.output_tokens, costs.answers),
    )


def _totals(evidence: FrameEvidence, costs: FrameCosts) -> record.Totals:
    last = samples.screens_of(evidence.samples[-1].usages) if evidence.samples else {}
    waits_ms = sorted(frame.answer_ms for frame in evidence.frames if frame.answer_ms is not None)
    p50_ms, p95_ms = (percentile(waits_ms, share) if waits_ms else None for share in (0.5, 0.95))
    return record.Totals(
        seconds=evidence.seconds,
        rooms_peak=len(last),
        room_hours=len(last) * evidence.seconds / 3_600,
        **{name: samples.count(last, name) for name in ("seen", "repeats", "kept", "answered", "shed")},
        failed=0,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        cost_nanousd=sum(costs.nanousd.values()),
    )


def _tenants(evidence: FrameEvidence, costs: FrameCosts, strong: StrongFrame) -> list[dict[str, Any]]:
    last = samples.screens_of(evidence.samples[-1].usages) if evidence.samples else {}
    rows = []
    for tenant in dict.fromkeys(evidence.rooms.values()):
        rooms = {room: counters for room, counters in last.items() if evidence.rooms.get(room) == tenant}
        frames = FrameCounts(**{name: samples.count(rooms, name) for name in ("seen", "kept", "answered")})
        room_hours = len(rooms) * evidence.seconds / 3_600
        rows.append(savings.tenant_row(tenant, room_hours, frames, costs.nanousd.get(tenant, 0), strong))
    return rows


def _notes(evidence: FrameEvidence, strong: StrongFrame) -> tuple[str, ...]:
    return (
        f"A second's counts are those that came with the rooms' heartbeats, one every {HEARTBEAT_S} seconds.",
        "An answer's time is the room agent's wait, from sending a frame to its description.",
        "The cost is that of the frames; questions and speech are in the bill. A frame that was on its way when the"
        " rooms last told their counts is kept, and neither answered nor shed.",
        savings.price_note(strong),
    )
