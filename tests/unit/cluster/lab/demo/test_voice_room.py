"""The demo's voice room, and the comparison of the books of speech."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.reconcile import (
    SpeechUsageTotals,
    backend_speech_totals,
    compare,
    journal_speech_totals,
    vendor_units,
)
from cluster.lab.demo import live_table
from cluster.lab.demo.samples import UsageSample
from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from cluster.lab.demo.summary import DemoRun, conclude
from cluster.lab.demo.voice_room import EmulatorFailed, conversation, emulator_journal
from cluster.lab.stack.plan import VOICE_ROOM, planned
from routing.models import Usage
from tests.support.cost_entries import intent, settlement

ROOT = Path(__file__).parents[5]
EARS, VOICE = ("stt", "simulated/nova-3"), ("tts", "simulated/eleven_flash_v2_5")
COUNTERS = {
    "hearing_utterances": 5,
    "voice_answers": 4,
    "voice_interruptions": 3,
    "voice_first_word_p50_ms": 702.4,
    "voice_first_sound_p50_ms": 1_203.6,
}
USAGES: dict[str, Any] = {"acme": {"rooms": [{"room": VOICE_ROOM, "counters": COUNTERS}]}, "globex": {}}
TOLD = {"asked": 6, "answered": 4, "heard_ms": 9_000}


def seen(model: str, audio_ms: int = 0, characters: int = 0) -> dict[str, Any]:
    return {"model": model, "audio_ms": audio_ms, "characters": characters}


def event(service: str, model: str, cost_usd: float, **usage: int) -> dict[str, Any]:
    return {"service": service, "costUsd": cost_usd, "metadata": {"model": model, "usage": usage}}


def book(audio_ms: int = 1_500, nanousd: int = 90) -> SpeechUsageTotals:
    return SpeechUsageTotals(units=Counter({EARS: audio_ms}), nanousd=Counter({EARS: nanousd}))


def test_the_table_shows_the_voice_room_by_itself() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(live_table.draw(USAGES, left_s=12.4))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert [line for line in lines if VOICE_ROOM in line] == [[VOICE_ROOM, "5", "4", "3", "702", "1204"]]


def test_the_conversation_is_what_the_agent_counted_and_what_its_counterpart_did() -> None:
    held = conversation(USAGES, TOLD)
    assert (held.questions_asked, held.questions_heard, held.answers_spoken, held.answers_heard) == (6, 5, 4, 4)
    assert (held.voice_heard_ms, held.interruptions, held.first_sound_p50_ms) == (9_000, 3, 1_203.6)
    nothing = conversation({}, {})
    assert (nothing.questions_heard, nothing.first_word_p50_ms) == (0, None)


async def test_the_journals_speech_is_what_was_settled_and_no_other_service(tmp_path: Path) -> None:
    recorder = CommitLog(Journal(tmp_path / "journal.db"), lambda: 120.0)
    for number, (service, model) in enumerate((EARS, EARS, ("vision", "simulated/m"))):
        await recorder.write([intent(f"e{number}", service=service, model=model)])
        await recorder.write([settlement(f"e{number}", 7, usage=Usage(audio_ms=100 + number))])
    await recorder.write([intent("open", service="tts", model=VOICE[1])])
    await recorder.aclose()
    held = journal_speech_totals(tmp_path / "journal.db")
    assert (held.units, held.nanousd) == (Counter({EARS: 201}), Counter({EARS: 14}))


def test_the_backends_speech_is_the_sum_of_its_events() -> None:
    rows = [event(*VOICE, 0.00004, characters=1), event(*VOICE, 0.00008, characters=2), event("llm", "m", 1.0)]
    held = backend_speech_totals(rows)
    assert (held.units, held.nanousd) == (Counter({VOICE: 3}), Counter({VOICE: 120_000}))


def test_speech_is_equal_when_vendor_journal_and_backend_say_the_same() -> None:
    vendor = vendor_units([seen("nova-3", audio_ms=1_000), seen("nova-3", audio_ms=500), seen("gpt-6-luna")])
    (row,) = compare(vendor, book(), book())
    assert row.equal and row.amount == "1500 ms" and (row.service, row.model) == EARS


@pytest.mark.parametrize(
    ("sent_ms", "journal", "backend"),
    [
        (1_501, book(), book()),
        (1_500, book(1_499), book()),
        (1_500, book(), book(1_499)),
        (1_500, book(), book(1_500, 91)),
    ],
)
def test_a_millisecond_or_a_nanodollar_is_a_difference(
    sent_ms: int, journal: SpeechUsageTotals, backend: SpeechUsageTotals
) -> None:
    (row,) = compare(vendor_units([seen("nova-3", audio_ms=sent_ms)]), journal, backend)
    assert not row.equal


def test_speech_that_nobody_billed_is_a_difference() -> None:
    nothing = SpeechUsageTotals(units=Counter(), nanousd=Counter())
    (row,) = compare(vendor_units([seen("nova-3", audio_ms=20)]), nothing, nothing)
    assert (row.vendor_units, row.equal) == (20, False)


async def test_speech_that_differs_fails_the_run_and_is_said_to_the_unit(tmp_path: Path) -> None:
    console = Console(record=True, file=io.StringIO(), width=200)
    with planned(ROOT, tmp_path) as plan:
        recorder = CommitLog(Journal(plan.journal), lambda: 120.0)
        await recorder.write([intent(service=EARS[0], model=EARS[1])])
        await recorder.write([settlement(cost_nanousd=90, usage=Usage(audio_ms=1_500))])
        await recorder.aclose()
        run = DemoRun(
            started_at_s=1_795_000_000.0,
            seconds=1,
            rooms={},
            samples=[UsageSample(at_s=1_795_000_001.0, usages=USAGES)],
            usages=USAGES,
            voice=conversation(USAGES, TOLD),
            vendor_speech=vendor_units([seen("nova-3", audio_ms=1_520)]),
            backend_totals={"acme": 90},
            backend_speech=book(),
        )
        assert conclude(plan, run, console) == 1
    said, left = console.export_text(), json.loads((tmp_path / "run.json").read_text())["details"]
    assert "DIFFERENT" in said and "audio_ms: vendor 1520, journal 1500, backend 1500" in said
    assert "to the first word 702 ms, to the first sound 1204 ms" in said
    assert left["equal"] is False and left["voice"]["room"] == VOICE_ROOM
    assert left["speech"][0]["vendor_units"] == 1_520


async def test_an_emulator_that_is_gone_is_said_in_a_sentence(tmp_path: Path) -> None:
    with planned(ROOT, tmp_path) as plan:
        with pytest.raises(EmulatorFailed, match="did not answer: ConnectError"):
            await emulator_journal(plan)


def test_a_voice_is_loud_as_long_as_it_was_asked_for_and_silence_is_not() -> None:
    assert len(speech(500)) == len(silence(500)) == RATE_HZ
    assert max(speech(500)) > 0 and set(silence(500)) == {0}
