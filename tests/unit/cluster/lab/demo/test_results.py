"""A demo is saved as a run: traffic from heartbeats, answer times from frames, costs from the journal."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

from PIL import Image

from cluster.bill.reconcile import ReconciledTenant, SpeechRow
from cluster.config.validate import check_file
from cluster.costs.journal import Journal
from cluster.costs.models import Knowledge
from cluster.lab.demo import report_sections
from cluster.lab.demo.contact_sheet import SheetFrame
from cluster.lab.demo.results import FrameCosts, FrameEvidence, demo_run, frame_costs
from cluster.lab.demo.samples import UsageSample, latency_rows, traffic_rows
from cluster.lab.results import record
from cluster.lab.results.record import Run
from cluster.lab.stack.plan import VOICE_ROOM
from routing.models import Usage
from tests.support.cost_entries import intent, settlement

ROOT = Path(__file__).parents[5]
ROOMS = {"tenant_acme_demo-1": "acme", "tenant_globex_demo-2": "globex"}
START_S = dt.datetime(2026, 11, 25, 9, tzinfo=dt.UTC).timestamp()


def sample(at_s: float, frames_seen: int, frames_kept: int, answers: int) -> UsageSample:
    """Return a sample in which each room has these counts, and the voice room one question a second."""
    counters = {
        "frames_seen": frames_seen,
        "frames_kept": frames_kept,
        "frames_repeated": frames_seen - frames_kept,
        "answers": answers,
    }
    usages: dict[str, Any] = {
        tenant: {"rooms": [{"room": room, "counters": counters}]} for room, tenant in ROOMS.items()
    }
    usages["acme"]["rooms"].append({"room": VOICE_ROOM, "counters": {"hearing_utterances": int(at_s)}})
    return UsageSample(at_s=START_S + at_s, usages=usages)


def frame(at_s: float, answer_ms: float | None = 700.0, jpeg: bytes = b"") -> SheetFrame:
    details = {"why": "scene changed", "tier": "simple", "model": "simulated/m", "cost_nanousd": 412_000}
    return SheetFrame(jpeg=jpeg, at_s=at_s, answer_ms=answer_ms, **details)  # type: ignore[arg-type]


SAMPLES = [sample(0.5, 2, 1, 0), sample(1.5, 3, 1, 1), sample(3.5, 9, 2, 2)]


def test_a_second_sums_the_increments_of_its_heartbeats_in_all_rooms() -> None:
    rows = traffic_rows(SAMPLES, [frame(3.2), frame(3.4, 900.0)], START_S)
    assert [row.get("seen") for row in rows] == [4, 2, None, 12]
    assert [row.get("rooms") for row in rows] == [2, 2, None, 2]
    assert [row.get("questions") for row in rows] == [0, 1, None, 2]
    assert (rows[3]["p50_ms"], rows[3]["p95_ms"]) == (700.0, 900.0) and "p50_ms" not in rows[0]


def test_a_restarted_agent_subtracts_nothing() -> None:
    rows = traffic_rows([sample(0.5, 9, 2, 2), sample(1.5, 3, 1, 0)], [], START_S)
    assert [row["seen"] for row in rows] == [18, 6]


def test_only_quantiles_supported_by_the_number_of_answers_are_reported() -> None:
    rows = latency_rows([frame(0.0, float(ms)) for ms in range(1, 41)])
    assert [row["quantile"] for row in rows] == [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0]
    assert rows[-1]["ms"] == 40.0 and latency_rows([frame(0.0, None)]) == []


def test_the_costs_and_answer_lengths_of_frames_are_read_from_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    with journal.transaction():
        for event_id, service, tokens in (("a", "vision", 40), ("b", "vision", 20), ("c", "llm", 900)):
            journal.add_intent(intent(event_id, service=service), arrived_at_s=100.0, expires_at_s=160.0)
            settled = settlement(event_id, 1_000, usage=Usage(output_tokens=tokens))
            journal.settle(settled, knowledge=Knowledge.VENDOR_FINAL, booked_at_s=101.0)
        journal.add_intent(intent("d"), arrived_at_s=100.0, expires_at_s=160.0)
    journal.close()
    assert frame_costs(tmp_path / "journal.db") == FrameCosts(nanousd={"acme": 2_000}, answers=2, output_tokens=60)


def new_run(samples: list[UsageSample]) -> Run:
    evidence = FrameEvidence(
        started_at_s=START_S, seconds=45, rooms=ROOMS, samples=samples, frames=[frame(1.0), frame(2.0)]
    )
    costs = FrameCosts(nanousd={"acme": 3_000, "globex": 1_000}, answers=2, output_tokens=60)
    details = {"equal": True, "simulated": True, "tenants": {}}
    return demo_run(evidence, costs, check_file(ROOT / "serve_config.yaml"), details, difference_nanousd=0)


def test_the_totals_of_a_demo_cover_the_rooms_that_share_a_screen(tmp_path: Path) -> None:
    run = new_run(SAMPLES)
    totals = run.summary.totals
    assert (totals.rooms_peak, totals.seen, totals.repeats, totals.kept, totals.answered) == (2, 18, 14, 4, 4)
    assert (totals.cost_nanousd, totals.p50_ms, totals.room_hours) == (4_000, 700.0, 2 * 45 / 3_600)
    assert run.summary.verdicts[0].held and run.summary.details["equal"] is True
    record.save(run, tmp_path)
    assert record.load(tmp_path).summary == run.summary


def test_a_tenant_of_a_demo_has_its_three_factors() -> None:
    rows = {row["tenant"]: row for row in new_run(SAMPLES).tenants.to_pylist()}
    acme = rows["acme"]
    assert (acme["seen"], acme["kept"], acme["cost_nanousd"]) == (9, 2, 3_000)
    assert acme["every_frame_nanousd"] > acme["changed_only_nanousd"] > acme["changed_small_nanousd"] > 3_000
    assert any("30.0 output tokens" in note for note in new_run(SAMPLES).summary.notes)


def test_a_demo_without_rooms_is_a_valid_run() -> None:
    run = new_run([UsageSample(at_s=START_S + 0.5, usages={})])
    assert run.summary.totals.kept == 0 and run.summary.totals.shed_share is None


def test_the_bill_is_exact_to_the_nano_dollar_and_marks_a_difference() -> None:
    speech = SpeechRow(
        service="stt",
        model="simulated/nova-3",
        vendor_units=1_000,
        journal_units=1_000,
        backend_units=999,
        journal_nanousd=5,
        backend_nanousd=5,
    )
    section = report_sections.bill([ReconciledTenant("acme", 1_234_567_891, 1_234_567_891)], [speech], open_intents=2)
    assert section.tables[0].rows == (("acme", "$1.234567891", "$1.234567891", "equal"),)
    assert section.tables[1].rows[0][-1] == "DIFFERENT" and "2 attempts were never settled" in section.texts[0]


def test_dropped_frames_are_shown_by_room() -> None:
    section = report_sections.dropped({"b": {}, "a": {"frames_seen": 40, "frames_repeated": 30, "frames_kept": 10}})
    assert section.tables[0].rows == (
        ("a", "40", "30", "75 %", "10", "0", "0"),
        ("b", "0", "0", "not known", "0", "0", "0"),
    )


def test_a_kept_frame_has_a_thumbnail_reason_price_and_duration() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1_024, 576), "teal").save(buffer, "JPEG")
    section = report_sections.kept(
        "room", [frame(1.0, jpeg=buffer.getvalue()), frame(4.5, jpeg=b"no jpeg")], end_s=10.0
    )
    picture, unreadable = section.pictures
    assert picture.lines == (
        "00:01.0 scene changed",
        "simulated/m",
        "tier simple",
        "$0.000412 after 700 ms",
        "stood for 3.5 s",
    )
    assert picture.source.startswith("data:image/jpeg;base64,") and unreadable.source == "data:,"
    assert unreadable.lines[-1] == "stood for 5.5 s" and "2 frames kept" in section.texts[0]
