"""The cost of speech reaches the backend to the millisecond and character, however a conversation ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from cluster.bill.reconcile import SpeechUsageTotals, backend_speech_totals
from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.engines import Engines
from routing.models import Usage
from routing.prices import load_prices
from tests.support.eventually import eventually
from tests.support.meeting import Meeting, open_meeting
from tests.support.speaking_participant import SpeakingParticipant, joined
from tests.support.stack import Stack, System

pytestmark = pytest.mark.asyncio(loop_scope="session")

TENANT = "acme"
STT = "nova-3-keyterm"
ROUNDED_NANOUSD = 50
"""A nano-dollar for each of a conversation's heartbeats and requests, and less than a millisecond costs."""
SENTENCE = "This was said about it."
SENTENCES = 4
OUTAGE_S = 5.0
WAIT_S = 60.0


def long_answer(_: Sequence[RequestMessage]) -> str:
    return " ".join([SENTENCE] * SENTENCES)


@dataclass(frozen=True, slots=True)
class SpeechUsage:
    """Speech usage of the whole system: as counted by the vendors and as billed to the backend."""

    emulator: Emulator
    stack: Stack

    def vendor_totals(self) -> SpeechUsageTotals:
        """Return the usage in the journal of the emulator, at the current prices."""
        prices, today = load_prices(), dt.datetime.now(dt.UTC).date()
        totals = SpeechUsageTotals(units=Counter(), nanousd=Counter())
        for request in self.emulator.journal:
            usage = Usage(audio_ms=request.audio_ms, characters=request.characters)
            if units := usage.audio_ms + usage.characters:
                model = f"{request.model}-keyterm" if request.keyterms else request.model
                service = ("stt" if usage.audio_ms else "tts", model)
                totals.units[service] += units
                totals.nanousd[service] += prices.of(model, today).cost_nanousd(usage)
        return totals

    async def backend_totals(self) -> SpeechUsageTotals:
        """Return the billed usage, after the router has flushed all of it."""
        await self.stack.billed_nanousd(TENANT)
        return backend_speech_totals(await self.stack.backend.events(TENANT))


@dataclass(frozen=True, slots=True)
class ConversationUsage:
    """Speech usage of one conversation: the difference to the totals before it."""

    speech_usage: SpeechUsage
    meeting: Meeting
    vendors_before: SpeechUsageTotals
    backend_before: SpeechUsageTotals

    def vendor_totals(self) -> SpeechUsageTotals:
        return _difference(self.speech_usage.vendor_totals(), self.vendors_before)

    async def backend_totals(self) -> SpeechUsageTotals:
        return _difference(await self.speech_usage.backend_totals(), self.backend_before)


def _difference(totals: SpeechUsageTotals, before: SpeechUsageTotals) -> SpeechUsageTotals:
    return SpeechUsageTotals(units=totals.units - before.units, nanousd=totals.nanousd - before.nanousd)


@pytest.fixture(scope="module")
def speech_usage(system: System) -> Iterator[SpeechUsage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.emulator.state, "engines", Engines(answerer=long_answer))
        patch.setattr(system.emulator.script, "ends", True)
        yield SpeechUsage(system.emulator, system.stack)


@asynccontextmanager
async def conversation(
    speech_usage: SpeechUsage, name: str
) -> AsyncIterator[tuple[ConversationUsage, SpeakingParticipant]]:
    """Yield the usage of a room with an agent, and a participant in it; on exit the agent leaves."""
    before = speech_usage.vendor_totals(), await speech_usage.backend_totals()
    room = f"tenant_{TENANT}_{name}"
    async with (
        open_meeting(speech_usage.stack, room) as meeting,
        joined(speech_usage.stack.livekit, room, "ann") as ann,
    ):
        await meeting.wait_for_microphones()
        yield ConversationUsage(speech_usage, meeting, *before), ann


async def billed_as_used(usage: ConversationUsage) -> SpeechUsageTotals:
    """Return the vendors' totals, once they are billed to the unit; each heartbeat's cost is rounded by itself."""
    vendors, billed = usage.vendor_totals(), await usage.backend_totals()
    assert billed.units == vendors.units
    assert dict(billed.nanousd) == pytest.approx(dict(vendors.nanousd), abs=ROUNDED_NANOUSD)
    return vendors


async def ask_question(
    speech_usage: SpeechUsage, ann: SpeakingParticipant, text: str = "What was said about it?"
) -> None:
    speech_usage.emulator.script.add(text)
    await ann.speak(1_500)


async def test_a_conversation_is_billed_to_the_millisecond_and_character(speech_usage: SpeechUsage) -> None:
    async with conversation(speech_usage, "ends") as (usage, ann):
        for times in (1, 2):
            await ask_question(speech_usage, ann)
            await eventually(lambda times=times: len(ann.answers()) == times, WAIT_S)  # type: ignore[misc]
        assert min(usage.vendor_totals().units.values()) > 0
    vendors = await billed_as_used(usage)
    # The number of chunks, and so of the spaces sent, depends on the arrival times of the text.
    assert vendors.units["tts", "eleven_flash_v2_5"] >= 2 * len(long_answer(()))
    # 80 nano-dollars a millisecond, and 21.667 for the agent's names as key terms, rounded once a request.
    per_ms = vendors.nanousd["stt", STT] / vendors.units["stt", STT]
    assert per_ms == pytest.approx(80 + 1_300_000 / 60_000, abs=0.01)
    rows = await speech_usage.stack.bill(tenant=TENANT, by=["room", "participant", "service"])
    in_room = [row["group"] for row in rows if row["group"]["room"] == f"tenant_{TENANT}_ends"]
    assert {group["participant"] for group in in_room} == {"ann"}
    assert {group["service"] for group in in_room} >= {"stt", "llm", "embeddings", "tts"}


async def test_only_the_sent_part_of_an_interrupted_answer_is_billed(speech_usage: SpeechUsage) -> None:
    async with conversation(speech_usage, "cut") as (usage, ann):
        # The LLM stream stalls in the middle, so that a part of the answer is never spoken.
        speech_usage.emulator.plan(Fault(stall_after_chunks=15), vendor="openai")
        await ask_question(speech_usage, ann)
        await eventually(lambda: ann.agent_speech_ms > 500, WAIT_S)
        speech_usage.emulator.script.add("No, stop.")
        await ann.speak(1_000)
        await eventually(lambda: ann.answers(), WAIT_S)
        assert ann.answers()[0].attributes["rayroom.interrupted"] == "true"
    vendors = await billed_as_used(usage)
    # The second answer may be complete; a part of the first one is missing in any case.
    assert 0 < vendors.units["tts", "eleven_flash_v2_5"] < 2 * len(long_answer(()))


@pytest.mark.kills
async def test_a_killed_job_is_billed_to_the_unit(speech_usage: SpeechUsage) -> None:
    async with conversation(speech_usage, "killed") as (usage, ann):
        await ask_question(speech_usage, ann)
        await eventually(lambda: ann.answers(), WAIT_S)
        speaking = asyncio.create_task(ann.speak(10_000))
        await eventually(lambda: usage.vendor_totals().units["stt", STT] > 3_000, WAIT_S)
        usage.meeting.kill_job(agent_job(speech_usage))
        await eventually(lambda: all(request.ended_at_s for request in speech_usage.emulator.journal), WAIT_S)
        await speaking
        # The room still exists, and the worker reports the usage of its killed job.
        await eventually(lambda: not unreported_journals(speech_usage), 2 * WAIT_S)
    vendors = await billed_as_used(usage)
    assert vendors.units["tts", "eleven_flash_v2_5"] >= len(long_answer(()))
    assert vendors.units["stt", STT] > 3_000


@pytest.mark.kills
async def test_speech_during_an_outage_of_the_router_is_billed_afterwards(speech_usage: SpeechUsage) -> None:
    async with conversation(speech_usage, "away") as (usage, ann):
        await ask_question(speech_usage, ann)
        await eventually(lambda: ann.answers(), WAIT_S)
        ingress = ingress_processes(speech_usage.stack)
        for process in ingress:
            process.send_signal(signal.SIGSTOP)
        try:
            before = usage.vendor_totals().units["stt", STT]
            await ask_question(speech_usage, ann, "And what else?")
            await asyncio.sleep(OUTAGE_S)
            assert usage.vendor_totals().units["stt", STT] > before and len(ann.answers()) == 1
        finally:
            for process in ingress:
                process.send_signal(signal.SIGCONT)
        await eventually(lambda: len(ann.answers()) == 2, WAIT_S)
    vendors = await billed_as_used(usage)
    assert vendors.units["tts", "eleven_flash_v2_5"] >= 2 * len(long_answer(()))


def agent_job(speech_usage: SpeechUsage) -> psutil.Process:
    """Return the process of the room's job: the one that is connected to the vendors."""
    port = urlsplit(speech_usage.emulator.url).port
    children = psutil.Process(speech_usage.stack.pid).children(recursive=True)
    (job,) = (
        process
        for process in children
        if "room_agent.worker" in " ".join(process.cmdline()) and _is_connected_to(process, port)
    )
    return job


def unreported_journals(speech_usage: SpeechUsage) -> list[Path]:
    """Return the usage journals that are not completely reported to the router; a running job has one."""
    return list((speech_usage.stack.plan.directory / "usage").glob("*.jsonl"))


def _is_connected_to(process: psutil.Process, port: int | None) -> bool:
    return any(connection.raddr and connection.raddr.port == port for connection in process.net_connections("tcp"))


def ingress_processes(stack: Stack) -> list[psutil.Process]:
    """Return the proxy processes, through which every request reaches the router."""
    return [process for process in psutil.Process(stack.pid).children(recursive=True) if process.name() == "haproxy"]
