"""The demo's voice room, and the reconciliation of speech."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster.bill.reconcile import (
    SpeechUsageTotals,
    backend_speech_totals,
    compare,
    journal_speech_totals,
    vendor_units,
)
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.lab.demo import live_table
from cluster.lab.demo.samples import UsageSample
from cluster.lab.demo.speech_synth import RATE_HZ, silence, speech
from cluster.lab.demo.summary import DemoRun, finish_demo
from cluster.lab.demo.voice_room import EmulatorFailed, conversation, emulator_journal
from cluster.lab.stack.plan import VOICE_ROOM, planned
from routing.models import Usage
from tests.support.cost_entries import intent, settlement

ROOT = Path(__file__).parents[5]
STT_MODEL, TTS_MODEL = ("stt", "simulated/nova-3"), ("tts", "simulated/eleven_flash_v2_5")
COUNTERS = {
    "hearing_utterances": 5,
    "voice_answers": 4,
    "voice_interruptions": 3,
    "voice_first_word_p50_ms": 702.4,
    "voice_first_sound_p50_ms": 1_203.6,
}
USAGES: dict[str, Any] = {"acme": {"rooms": [{"room": VOICE_ROOM, "counters": COUNTERS}]}, "globex": {}}
SPEAKER_COUNTS = {"asked": 6, "answered": 4, "heard_ms": 9_000}


def logged_request(model: str, audio_ms: int = 0, characters: int = 0) -> dict[str, Any]:
    return {"model": model, "audio_ms": audio_ms, "characters": characters}


def event(service: str, model: str, cost_usd: float, **usage: int) -> dict[str, Any]:
    return {"service": service, "costUsd": cost_usd, "metadata": {"model": model, "usage": usage}}


def speech_totals(audio_ms: int = 1_500, nanousd: int = 90) -> SpeechUsageTotals:
    return SpeechUsageTotals(units=Counter({STT_MODEL: audio_ms}), nanousd=Counter({STT_MODEL: nanousd}))


def test_the_table_shows_the_voice_room_separately() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(live_table.draw(USAGES, remaining_s=12.4))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert [line for line in lines if VOICE_ROOM in line] == [[VOICE_ROOM, "5", "4", "3", "702", "1204"]]


def test_the_conversation_combines_the_counts_of_agent_and_speaker() -> None:
    result = conversation(USAGES, SPEAKER_COUNTS)
    assert (result.questions_asked, result.questions_heard, result.answers_spoken, result.answers_heard) == (6, 5, 4, 4)
    assert (result.voice_heard_ms, result.interruptions, result.first_sound_p50_ms) == (9_000, 3, 1_203.6)
    empty = conversation({}, {})
    assert (empty.questions_heard, empty.first_word_p50_ms) == (0, None)


async def test_the_speech_totals_of_the_journal_count_settled_speech_only(tmp_path: Path) -> None:
    commit_log = CommitLog(Journal(tmp_path / "journal.db"), lambda: 120.0)
    for number, (service, model) in enumerate((STT_MODEL, STT_MODEL, ("vision", "simulated/m"))):
        await commit_log.write([intent(f"e{number}", service=service, model=model)])
        await commit_log.write([settlement(f"e{number}", 7, usage=Usage(audio_ms=100 + number))])
    await commit_log.write([intent("open", service="tts", model=TTS_MODEL[1])])
    await commit_log.aclose()
    result = journal_speech_totals(tmp_path / "journal.db")
    assert (result.units, result.nanousd) == (Counter({STT_MODEL: 201}), Counter({STT_MODEL: 14}))


def test_the_speech_totals_of_the_backend_sum_its_events() -> None:
    rows = [event(*TTS_MODEL, 0.00004, characters=1), event(*TTS_MODEL, 0.00008, characters=2), event("llm", "m", 1.0)]
    result = backend_speech_totals(rows)
    assert (result.units, result.nanousd) == (Counter({TTS_MODEL: 3}), Counter({TTS_MODEL: 120_000}))


def test_speech_is_equal_if_vendor_journal_and_backend_agree() -> None:
    vendor = vendor_units(
        [logged_request("nova-3", audio_ms=1_000), logged_request("nova-3", audio_ms=500), logged_request("gpt-6-luna")]
    )
    (row,) = compare(vendor, speech_totals(), speech_totals())
    assert row.equal and row.amount == "1500 ms" and (row.service, row.model) == STT_MODEL


@pytest.mark.parametrize(
    ("sent_ms", "journal", "backend"),
    [
        (1_501, speech_totals(), speech_totals()),
        (1_500, speech_totals(1_499), speech_totals()),
        (1_500, speech_totals(), speech_totals(1_499)),
        (1_500, speech_totals(), speech_totals(1_500, 91)),
    ],
)
def test_a_millisecond_or_a_nanodollar_is_a_difference(
    sent_ms: int, journal: SpeechUsageTotals, backend: SpeechUsageTotals
) -> None:
    (row,) = compare(vendor_units([logged_request("nova-3", audio_ms=sent_ms)]), journal, backend)
    assert not row.equal


def test_unbilled_speech_is_a_difference() -> None:
    empty = SpeechUsageTotals(units=Counter(), nanousd=Counter())
    (row,) = compare(vendor_units([logged_request("nova-3", audio_ms=20)]), empty, empty)
    assert (row.vendor_units, row.equal) == (20, False)


async def test_a_speech_difference_fails_the_run_and_is_printed_in_units(tmp_path: Path) -> None:
    console = Console(record=True, file=io.StringIO(), width=200)
    with planned(ROOT, tmp_path) as plan:
        commit_log = CommitLog(Journal(plan.journal), lambda: 120.0)
        await commit_log.write([intent(service=STT_MODEL[0], model=STT_MODEL[1])])
        await commit_log.write([settlement(cost_nanousd=90, usage=Usage(audio_ms=1_500))])
        await commit_log.aclose()
        run = DemoRun(
            started_at_s=1_795_000_000.0,
            seconds=1,
            rooms={},
            samples=[UsageSample(at_s=1_795_000_001.0, usages=USAGES)],
            usages=USAGES,
            voice=conversation(USAGES, SPEAKER_COUNTS),
            vendor_speech=vendor_units([logged_request("nova-3", audio_ms=1_520)]),
            backend_totals={"acme": 90},
            backend_speech=speech_totals(),
        )
        assert finish_demo(plan, run, console) == 1
    output, details = console.export_text(), json.loads((tmp_path / "run.json").read_text())["details"]
    assert "DIFFERENT" in output and "audio_ms: vendor 1520, journal 1500, backend 1500" in output
    assert "to the first word 702 ms, to the first sound 1204 ms" in output
    assert details["equal"] is False and details["voice"]["room"] == VOICE_ROOM
    assert details["speech"][0]["vendor_units"] == 1_520


async def test_an_unreachable_emulator_is_reported(tmp_path: Path) -> None:
    with planned(ROOT, tmp_path) as plan:
        with pytest.raises(EmulatorFailed, match="did not answer: ConnectError"):
            await emulator_journal(plan)


def test_synthesised_speech_has_the_requested_length_and_is_louder_than_silence() -> None:
    assert len(speech(500)) == len(silence(500)) == RATE_HZ
    assert max(speech(500)) > 0 and set(silence(500)) == {0}
