"""Report the end of a run: the reconciled costs, the conversation of the voice room, and the output files."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cluster.bill import reconcile
from cluster.bill.reconcile import ReconciledTenant, SpeechRow, SpeechUsageTotals
from cluster.config.validate import check_file
from cluster.costs.journal_reader import read_open_intents, read_settled_nanousd
from cluster.lab.demo import report_sections, results
from cluster.lab.demo.report_sections import verdict
from cluster.lab.demo.results import FrameEvidence, demo_run, frame_costs
from cluster.lab.demo.samples import UsageSample, screens_of
from cluster.lab.demo.voice_room import Conversation
from cluster.lab.stack.plan import Plan
from routing.billing.money import dollars


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
    vendor_speech: Counter[reconcile.BilledModel]
    backend_totals: Mapping[str, int]
    backend_speech: SpeechUsageTotals


def finish_demo(plan: Plan, run: DemoRun, console: Console) -> int:
    """Print the reconciliation, write the output, and return the exit status."""
    rows = reconcile.reconcile(read_settled_nanousd(plan.journal), run.backend_totals)
    speech = reconcile.compare(run.vendor_speech, reconcile.journal_speech_totals(plan.journal), run.backend_speech)
    open_intents = read_open_intents(plan.journal)
    equal = bool(rows) and all([*(row.equal for row in rows), *(row.equal for row in speech)]) and open_intents == 0
    _print_voice(run.voice, console)
    _print_reconciliation(rows, speech, open_intents, console)
    written = _write_output(
        plan, run, _Reconciliation(rows=rows, speech=speech, open_intents=open_intents, equal=equal)
    )
    console.print(f"left in {plan.directory}: run.json and {len(written.sheets)} contact sheets")
    console.print(f"report: {written.report.as_uri()}")
    return 0 if equal else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reconciliation:
    """The comparison of journal and backend."""

    rows: Sequence[ReconciledTenant]
    speech: Sequence[SpeechRow]
    open_intents: int
    equal: bool

    @property
    def difference_nanousd(self) -> int:
        return sum(abs(row.journal_nanousd - row.backend_nanousd) for row in self.rows)


def _write_output(plan: Plan, run: DemoRun, reconciliation: _Reconciliation) -> results.WrittenReport:
    """Write the run, its report and its contact sheets."""
    frames = {room: results.read_frames(plan.directory / "frames" / room, run.started_at_s) for room in run.rooms}
    evidence = FrameEvidence(
        started_at_s=run.started_at_s,
        seconds=run.seconds,
        rooms=run.rooms,
        samples=run.samples,
        frames=[frame for kept in frames.values() for frame in kept],
    )
    costs, settings = frame_costs(plan.journal), check_file(plan.root / "serve_config.yaml")
    end_s = run.samples[-1].at_s - run.started_at_s
    details = _as_json(run, reconciliation.rows, reconciliation.speech, reconciliation.equal)
    sections = [
        report_sections.bill(reconciliation.rows, reconciliation.speech, reconciliation.open_intents),
        report_sections.voice(run.voice),
        report_sections.dropped(screens_of(run.usages)),
        *(report_sections.kept(room, kept, end_s) for room, kept in frames.items()),
    ]
    demo = demo_run(evidence, costs, settings, details, reconciliation.difference_nanousd)
    return results.write_report(plan.directory, demo, frames, sections)


def _print_voice(voice: Conversation, console: Console) -> None:
    console.print(
        f"voice room: {voice.questions_asked} questions asked aloud, {voice.questions_heard} heard, "
        f"{voice.answers_spoken} answered, {voice.interruptions} of these interrupted; "
        f"the agent was heard for {voice.voice_heard_ms / 1_000:.1f} s; from the end of a question "
        f"to the first word {_ms(voice.first_word_p50_ms)}, to the first sound {_ms(voice.first_sound_p50_ms)} (p50)"
    )


def _print_reconciliation(
    rows: Sequence[ReconciledTenant], speech: Sequence[SpeechRow], open_intents: int, console: Console
) -> None:
    console.print("reconciliation, in dollars of simulated spend")
    for row in rows:
        journal, billed = dollars(row.journal_nanousd), dollars(row.backend_nanousd)
        console.print(f"  {row.tenant_id:8} journal {journal}  backend {billed}  {verdict(row.equal)}")
    for speech_row in speech:
        journal, billed = dollars(speech_row.journal_nanousd), dollars(speech_row.backend_nanousd)
        console.print(
            f"  {speech_row.service:8} journal {journal}  backend {billed}  {verdict(speech_row.equal)}: "
            f"{speech_row.amount} of {speech_row.model}"
        )
        if not speech_row.equal:
            units = (
                f"vendor {speech_row.vendor_units}, journal {speech_row.journal_units}, "
                f"backend {speech_row.backend_units}"
            )
            console.print(f"           {reconcile.UNITS[speech_row.service]}: {units}")
    if open_intents:
        console.print(f"  {open_intents} attempts were never settled")
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
            {"tenant": row.tenant_id, "journal_nanousd": row.journal_nanousd, "backend_nanousd": row.backend_nanousd}
            for row in rows
        ],
        "speech": [speech_row.as_json() for speech_row in speech],
        "voice": run.voice.as_json(),
        "tenants": run.usages,
    }


def _ms(delay_ms: float | None) -> str:
    return "unknown" if delay_ms is None else f"{delay_ms:.0f} ms"
