"""Report the end of a run: the reconciled books, the questions and answers of the voice room, the output files."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cluster.config.validate import check_file
from cluster.costs import reconcile
from cluster.costs.reconcile import ReconciledTenant, SpeechRow, SpeechUsageTotals, dollars
from cluster.lab.demo import report_sections, results
from cluster.lab.demo.report_sections import verdict
from cluster.lab.demo.results import FrameEvidence, demo_run, frame_costs
from cluster.lab.demo.samples import UsageSample, screens_of
from cluster.lab.demo.voice_room import Conversation
from cluster.lab.stack.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """One run, after all its processes but the backend have ended."""

    started_at_s: float
    """UNIX time when the rooms were open."""
    seconds: float
    rooms: Mapping[str, str]
    """The rooms that share a screen, and the tenant of each."""
    samples: Sequence[UsageSample]
    usages: Mapping[str, Any]
    voice: Conversation
    vendor_speech: Counter[reconcile.Service]
    backend_totals: Mapping[str, int]
    backend_speech: SpeechUsageTotals


def conclude(plan: Plan, run: DemoRun, console: Console) -> int:
    """Print the reconciliation, write the output, and return the exit status."""
    rows = reconcile.reconcile(reconcile.journal_totals(plan.journal), run.backend_totals)
    speech = reconcile.compare(run.vendor_speech, reconcile.journal_book(plan.journal), run.backend_speech)
    left_open = reconcile.open_intents(plan.journal)
    equal = bool(rows) and all([*(row.equal for row in rows), *(one.equal for one in speech)]) and left_open == 0
    _say_voice(run.voice, console)
    _say_books(rows, speech, left_open, console)
    left = _leave(plan, run, _Books(rows=rows, speech=speech, left_open=left_open, equal=equal))
    console.print(f"left in {plan.directory}: run.json and {len(left.sheets)} contact sheets")
    console.print(f"report: {left.report.as_uri()}")
    return 0 if equal else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """The comparison of the books."""

    rows: Sequence[ReconciledTenant]
    speech: Sequence[SpeechRow]
    left_open: int
    equal: bool

    @property
    def apart_nanousd(self) -> int:
        return sum(abs(row.journal_nanousd - row.backend_nanousd) for row in self.rows)


def _leave(plan: Plan, run: DemoRun, books: _Books) -> results.WrittenReport:
    """Write the run, its report and its contact sheets."""
    frames = {room: results.read_frames(plan.directory / "frames" / room, run.started_at_s) for room in run.rooms}
    shown = FrameEvidence(
        started_at_s=run.started_at_s,
        seconds=run.seconds,
        rooms=run.rooms,
        samples=run.samples,
        frames=[frame for kept in frames.values() for frame in kept],
    )
    costs, settings = frame_costs(plan.journal), check_file(plan.root / "serve_config.yaml")
    end_s = run.samples[-1].at_s - run.started_at_s
    details = _as_json(run, books.rows, books.speech, books.equal)
    more = [
        report_sections.bill(books.rows, books.speech, books.left_open),
        report_sections.voice(run.voice),
        report_sections.dropped(screens_of(run.usages)),
        *(report_sections.kept(room, kept, end_s) for room, kept in frames.items()),
    ]
    whole = demo_run(shown, costs, settings, details, books.apart_nanousd)
    return results.write_report(plan.directory, whole, frames, more)


def _say_voice(voice: Conversation, console: Console) -> None:
    console.print(
        f"voice room: {voice.questions_asked} questions asked aloud, {voice.questions_heard} heard, "
        f"{voice.answers_spoken} answered, {voice.interruptions} of these interrupted; "
        f"the agent was heard for {voice.voice_heard_ms / 1_000:.1f} s; from the end of a question "
        f"to the first word {_ms(voice.first_word_p50_ms)}, to the first sound {_ms(voice.first_sound_p50_ms)} (p50)"
    )


def _say_books(rows: Sequence[ReconciledTenant], speech: Sequence[SpeechRow], left_open: int, console: Console) -> None:
    console.print("reconciliation, in dollars of simulated spend")
    for row in rows:
        journal, billed = dollars(row.journal_nanousd), dollars(row.backend_nanousd)
        console.print(f"  {row.tenant_id:8} journal {journal}  backend {billed}  {verdict(row.equal)}")
    for one in speech:
        journal, billed = dollars(one.journal_nanousd), dollars(one.backend_nanousd)
        console.print(
            f"  {one.service:8} journal {journal}  backend {billed}  {verdict(one.equal)}: {one.amount} of {one.model}"
        )
        if not one.equal:
            units = f"vendor {one.vendor_units}, journal {one.journal_units}, backend {one.backend_units}"
            console.print(f"           {reconcile.UNITS[one.service]}: {units}")
    if left_open:
        console.print(f"  {left_open} attempts were never settled")
    if not rows:
        console.print("  nothing was billed at all")


def _as_json(
    run: DemoRun, rows: Sequence[ReconciledTenant], speech: Sequence[SpeechRow], equal: bool
) -> dict[str, Any]:
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "simulated": True,
        "seconds": run.seconds,
        "equal": equal,
        "reconciliation": [
            {"tenant": r.tenant_id, "journal_nanousd": r.journal_nanousd, "backend_nanousd": r.backend_nanousd}
            for r in rows
        ],
        "speech": [one.as_json() for one in speech],
        "voice": run.voice.as_json(),
        "tenants": run.usages,
    }


def _ms(delay_ms: float | None) -> str:
    return "unknown" if delay_ms is None else f"{delay_ms:.0f} ms"
