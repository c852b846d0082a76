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

from cluster.costs.reconcile import SpeechUsageTotals, backend_speech_totals
from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.core.content import RequestMessage
from cluster.lab.emulator.engines import Engines
from routing.models import Usage
from routing.prices import load_prices
from tests.support.meeting import Meeting, open_meeting
from tests.support.speaking_participant import SpeakingParticipant, joined
from tests.support.stack import Stack, System, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

TENANT = "acme"
SENTENCE = "This was said about it."
SENTENCES = 4
AWAY_S = 5.0
LONG_S = 60.0


def says_much(_: Sequence[RequestMessage]) -> str:
    return " ".join([SENTENCE] * SENTENCES)


@dataclass(frozen=True, slots=True)
class Books:
    """The usage as the vendors count it, in the emulator's journal, and as the backend was billed."""

    emulator: Emulator
    stack: Stack

    def vendors(self) -> SpeechUsageTotals:
        """Return the usage sent to the vendors so far, at the current prices."""
        prices, today = load_prices(), dt.datetime.now(dt.UTC).date()
        book = SpeechUsageTotals(units=Counter(), nanousd=Counter())
        for seen in self.emulator.journal:
            usage = Usage(audio_ms=seen.audio_ms, characters=seen.characters)
            if amount := usage.audio_ms + usage.characters:
                service = ("stt" if usage.audio_ms else "tts", seen.model)
                book.units[service] += amount
                book.nanousd[service] += prices.of(seen.model, today).cost_nanousd(usage)
        return book

    async def backend(self) -> SpeechUsageTotals:
        """Return the billed usage, once the router has flushed all of it."""
        await self.stack.billed_nanousd(TENANT)
        return backend_speech_totals(await self.stack.backend.events(TENANT))


@dataclass(frozen=True, slots=True)
class Told:
    """One conversation's part of both counts; `vendors` is current."""

    books: Books
    open_meeting: Meeting
    vendors_before: SpeechUsageTotals
    backend_before: SpeechUsageTotals

    def vendors(self) -> SpeechUsageTotals:
        return _less(self.books.vendors(), self.vendors_before)

    async def backend(self) -> SpeechUsageTotals:
        return _less(await self.books.backend(), self.backend_before)


def _less(book: SpeechUsageTotals, before: SpeechUsageTotals) -> SpeechUsageTotals:
    return SpeechUsageTotals(units=book.units - before.units, nanousd=book.nanousd - before.nanousd)


@pytest.fixture(scope="module")
def books(system: System) -> Iterator[Books]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.emulator.state, "engines", Engines(answerer=says_much))
        patch.setattr(system.emulator.script, "ends", True)
        yield Books(system.emulator, system.stack)


@asynccontextmanager
async def conversation(books: Books, name: str) -> AsyncIterator[tuple[Told, SpeakingParticipant]]:
    """Yield ann's seat in a room with an agent, and its usage. On exit the agent leaves."""
    before = books.vendors(), await books.backend()
    room = f"tenant_{TENANT}_{name}"
    async with open_meeting(books.stack, room) as meeting, joined(books.stack.livekit, room, "ann") as ann:
        await meeting.wait_for_microphones()
        yield Told(books, meeting, *before), ann


async def ask(books: Books, ann: SpeakingParticipant, text: str = "What was said about it?") -> None:
    books.emulator.script.add(text)
    await ann.speak(1_500)


async def test_a_conversation_that_ends_is_billed_to_the_millisecond_and_character(books: Books) -> None:
    async with conversation(books, "ends") as (told, ann):
        for times in (1, 2):
            await ask(books, ann)
            await eventually(lambda times=times: len(ann.answers()) == times, LONG_S)  # type: ignore[misc]
        assert min(told.vendors().units.values()) > 0
    vendors = told.vendors()
    assert await told.backend() == vendors
    # The arrival times of a text decide the number of its pieces, and so of the spaces sent.
    assert vendors.units["tts", "eleven_flash_v2_5"] >= 2 * len(says_much(()))
    assert vendors.nanousd["stt", "nova-3"] == 80 * vendors.units["stt", "nova-3"] > 0


async def test_an_interrupted_answer_is_billed_for_what_was_sent_of_it(books: Books) -> None:
    async with conversation(books, "cut") as (told, ann):
        # The LLM stream stalls in the middle, so that a part of the answer is never spoken.
        books.emulator.plan(Fault(stall_after_chunks=15), vendor="openai")
        await ask(books, ann)
        await eventually(lambda: ann.agent_speech_ms > 500, LONG_S)
        books.emulator.script.add("No, stop.")
        await ann.speak(1_000)
        await eventually(lambda: ann.answers(), LONG_S)
        assert ann.answers()[0].attributes["rayroom.interrupted"] == "true"
    vendors = told.vendors()
    assert await told.backend() == vendors
    # The second answer may be complete; a part of the first one is missing in any case.
    assert 0 < vendors.units["tts", "eleven_flash_v2_5"] < 2 * len(says_much(()))


@pytest.mark.kills
async def test_a_job_that_is_killed_is_billed_to_the_unit(books: Books) -> None:
    async with conversation(books, "killed") as (told, ann):
        await ask(books, ann)
        await eventually(lambda: ann.answers(), LONG_S)
        speaking = asyncio.create_task(ann.speak(10_000))
        await eventually(lambda: told.vendors().units["stt", "nova-3"] > 3_000, LONG_S)
        told.meeting.kill_job(job_of(books))
        await eventually(lambda: all(seen.ended_at_s for seen in books.emulator.journal), LONG_S)
        await speaking
        # The room still exists, and the worker reports the usage of its killed job.
        await eventually(lambda: not owed(books), 2 * LONG_S)
    vendors = told.vendors()
    assert await told.backend() == vendors
    assert vendors.units["tts", "eleven_flash_v2_5"] >= len(says_much(()))
    assert vendors.units["stt", "nova-3"] > 3_000


@pytest.mark.kills
async def test_what_was_said_while_the_router_was_out_of_reach_is_billed_when_it_is_back(books: Books) -> None:
    async with conversation(books, "away") as (told, ann):
        await ask(books, ann)
        await eventually(lambda: ann.answers(), LONG_S)
        ingress = the_ingress(books.stack)
        for process in ingress:
            process.send_signal(signal.SIGSTOP)
        try:
            before = told.vendors().units["stt", "nova-3"]
            await ask(books, ann, "And what else?")
            await asyncio.sleep(AWAY_S)
            assert told.vendors().units["stt", "nova-3"] > before and len(ann.answers()) == 1
        finally:
            for process in ingress:
                process.send_signal(signal.SIGCONT)
        await eventually(lambda: len(ann.answers()) == 2, LONG_S)
    vendors = told.vendors()
    assert await told.backend() == vendors
    assert vendors.units["tts", "eleven_flash_v2_5"] >= 2 * len(says_much(()))


def job_of(books: Books) -> psutil.Process:
    """Return the agent's process with a connection to the TTS vendor: the one of the room's job."""
    port = urlsplit(books.emulator.url).port
    below = psutil.Process(books.stack.pid).children(recursive=True)
    (job,) = (one for one in below if "room_agent.worker" in " ".join(one.cmdline()) and _speaks_to(one, port))
    return job


def owed(books: Books) -> list[Path]:
    """Return the usage journals that are not yet reported to the router, a running job's among them."""
    return list((books.stack.plan.directory / "usage").glob("*.jsonl"))


def _speaks_to(process: psutil.Process, port: int | None) -> bool:
    return any(line.raddr and line.raddr.port == port for line in process.net_connections("tcp"))


def the_ingress(stack: Stack) -> list[psutil.Process]:
    """Return the proxy processes: the router can be reached only through them."""
    return [one for one in psutil.Process(stack.pid).children(recursive=True) if one.name() == "haproxy"]
