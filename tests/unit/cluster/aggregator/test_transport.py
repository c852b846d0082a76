"""A batch of costs is written once however the connection breaks, and a connection without the secret is closed."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import (
    FIRST_RETRY_S,
    BadMessage,
    CostTransport,
    MessageReader,
    TransportAddress,
    TransportServer,
    framed,
    pack_entries,
    unpack_entries,
)
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from routing.models import Outcome, Usage
from tests.support.cost_entries import intent, settlement

HOST = "127.0.0.1"


class Aggregator:
    """A real recorder behind a real port, which may start again at another one."""

    def __init__(self, path: Path) -> None:
        self.recorder = CommitLog(Journal(path / "journal.db"), lambda: 120.0)
        self.server = TransportServer(self.write)
        self.address: TransportAddress | None = None
        self.batches: list[int] = []
        self.calls = 0
        self.came = asyncio.Event()
        self.slow = asyncio.Event()
        self.slow.set()

    async def find(self) -> TransportAddress:
        if self.address is None:
            self.address = await self.server.listen(HOST)
        return self.address

    async def write(self, entries: list[Entry]) -> list[Receipt]:
        self.batches.append(len(entries))
        receipts = await self.recorder.write(entries)
        self.came.set()
        await self.slow.wait()
        return receipts

    async def call(self, entries: list[Entry]) -> list[Receipt]:
        self.calls += 1
        return await self.recorder.write(entries)

    def restart(self) -> None:
        self.server.close()
        self.server, self.address = TransportServer(self.write), None


@pytest.fixture
async def aggregator(tmp_path: Path) -> AsyncIterator[Aggregator]:
    aggregator = Aggregator(tmp_path)
    yield aggregator
    aggregator.server.close()
    await aggregator.recorder.aclose()


@pytest.fixture
async def line(aggregator: Aggregator) -> AsyncIterator[CostTransport]:
    line = CostTransport(aggregator.find, aggregator.call)
    yield line
    line.close()


def test_entries_come_out_of_a_frame_as_they_went_in() -> None:
    usage = Usage(input_tokens=3, cached_input_tokens=1, audio_ms=7)
    entries: list[Entry] = [
        intent(budget_nanousd=5),
        settlement(usage=usage, outcome=Outcome.CANCELLED),
        intent("é", room="r"),
    ]
    assert unpack_entries(pack_entries(entries)) == entries


@pytest.mark.parametrize("frame", [b"", b"{}", b"[1]", b"[[]]", b'[["e1"]]', b"\xff", b'[["e1","?",1,false,{},1.0]]'])
def test_a_frame_that_is_none_of_ours_is_refused_without_repeating_it(frame: bytes) -> None:
    if frame == b"{}":
        assert unpack_entries(frame) == []
        return
    with pytest.raises(BadMessage, match="cannot be decoded"):
        unpack_entries(frame)


def test_frames_are_whole_however_their_bytes_arrive() -> None:
    frames, sent = MessageReader(max_bytes=100), [b"one", b"", b"three" * 20]
    found = []
    for byte in b"".join(map(framed, sent)):
        frames.feed(bytes([byte]))
        while (frame := frames.next()) is not None:
            found.append(frame)
    assert found == sent
    frames.feed(framed(b"x" * 101)[:4])
    with pytest.raises(BadMessage, match="longer"):
        frames.next()


async def test_a_batch_is_durable_when_its_receipts_come_back(aggregator: Aggregator, line: CostTransport) -> None:
    receipts = await line.write([intent("e1"), settlement("e1", 700), intent("e2")])
    assert list(receipts) == [1_000, 700, 1_700]
    assert (await aggregator.recorder.totals("acme")).settled_nanousd == 700
    assert aggregator.calls == 0


async def test_a_refusal_crosses_the_line_with_its_facts(line: CostTransport) -> None:
    first, refusal = await line.write([intent("e1", budget_nanousd=1_500), intent("e2", budget_nanousd=1_500)])
    assert first == 1_000 and isinstance(refusal, BudgetExceeded)
    assert refusal.facts["spent_nanousd"] == 1_000 and refusal.facts["limit_nanousd"] == 1_500
    assert refusal.facts["resets_at"].startswith("1970-02-01")


async def test_a_disk_that_refuses_is_told_as_it_is_in_an_actor_call(line: CostTransport) -> None:
    with pytest.raises(CostsUnavailable) as refused:
        await line.write([intent(estimate_nanousd=2**63)])
    assert refused.value.retry_after_s == 1.0
    assert list(await line.write([intent()])) == [1_000]


async def test_a_line_that_breaks_is_made_anew_where_the_aggregator_is_now(aggregator: Aggregator) -> None:
    line = CostTransport(aggregator.find, aggregator.call)
    outbox = CostOutbox(line.write, timeout_s=20)
    await outbox.reserve(intent("e1"))
    aggregator.restart()
    await asyncio.gather(outbox.settle(settlement("e1", 700)), outbox.reserve(intent("e2")))
    totals = await aggregator.recorder.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd, totals.requests) == (700, 1_000, 1)
    assert aggregator.calls == 0
    line.close()


async def test_what_was_written_when_the_line_broke_is_billed_once(aggregator: Aggregator) -> None:
    line = CostTransport(aggregator.find, aggregator.call)
    outbox = CostOutbox(line.write, timeout_s=20)
    aggregator.slow.clear()
    waiting = asyncio.create_task(outbox.record([intent("e1"), settlement("e1", 700)]))
    await aggregator.came.wait()
    aggregator.slow.set()
    aggregator.restart()
    assert await waiting >= 0 and outbox.resends >= 1
    assert (await aggregator.recorder.totals("acme")).settled_nanousd == 700
    line.close()


async def test_an_answer_that_nobody_waited_for_is_never_taken_for_the_next(
    aggregator: Aggregator, line: CostTransport
) -> None:
    aggregator.slow.clear()
    given_up = asyncio.create_task(line.write([intent("e1", estimate_nanousd=1)]))
    await aggregator.came.wait()
    given_up.cancel()
    await asyncio.wait({given_up})
    aggregator.slow.set()
    assert list(await line.write([intent("e2", estimate_nanousd=2), intent("e3", estimate_nanousd=3)])) == [3, 6]


async def test_costs_go_by_actor_calls_while_the_port_cannot_be_reached_and_it_is_said_once(
    aggregator: Aggregator,
) -> None:
    now_s = 0.0
    nowhere = dataclasses.replace(await aggregator.find(), port=1)

    async def find() -> TransportAddress:
        return nowhere if now_s < FIRST_RETRY_S else await aggregator.find()

    line = CostTransport(find, aggregator.call, lambda: now_s)
    with capture_logs() as logs:
        assert list(await line.write([intent("e1")])) == [1_000]
        assert list(await line.write([settlement("e1", 700)])) == [700]
        now_s = FIRST_RETRY_S
        assert list(await line.write([intent("e2")])) == [1_700]
    assert aggregator.calls == 2 and aggregator.batches == [1]
    assert len(logs) == 1 and logs[0]["event"] == "aggregator port unreached"
    line.close()


async def test_a_stranger_is_cut_off_unheard(aggregator: Aggregator) -> None:
    address = await aggregator.find()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(framed(b"x" * 32) + framed(pack_entries([intent()])))
    async with asyncio.timeout(30):
        assert await _rest(reader) == b""
    writer.close()
    assert aggregator.batches == [] and "secret=" not in repr(address)


async def test_a_second_batch_before_the_answer_to_the_first_ends_the_connection(aggregator: Aggregator) -> None:
    address = await aggregator.find()
    aggregator.slow.clear()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(framed(address.secret) + framed(pack_entries([intent()])) * 2)
    async with asyncio.timeout(30):
        assert await _rest(reader) == b""
    writer.close()
    aggregator.slow.set()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
