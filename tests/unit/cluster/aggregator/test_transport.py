"""A batch of costs is written once even if the connection breaks, and a connection without the secret is closed."""

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
    """A real commit log behind a real port, which may restart on another port."""

    def __init__(self, path: Path) -> None:
        self.commit_log = CommitLog(Journal(path / "journal.db"), lambda: 120.0)
        self.server = TransportServer(self.write)
        self.address: TransportAddress | None = None
        self.batches: list[int] = []
        self.actor_calls = 0
        self.received = asyncio.Event()
        self.may_reply = asyncio.Event()
        self.may_reply.set()

    async def find_address(self) -> TransportAddress:
        if self.address is None:
            self.address = await self.server.listen(HOST)
        return self.address

    async def write(self, entries: list[Entry]) -> list[Receipt]:
        self.batches.append(len(entries))
        receipts = await self.commit_log.write(entries)
        self.received.set()
        await self.may_reply.wait()
        return receipts

    async def actor_call(self, entries: list[Entry]) -> list[Receipt]:
        self.actor_calls += 1
        return await self.commit_log.write(entries)

    def restart(self) -> None:
        self.server.close()
        self.server, self.address = TransportServer(self.write), None


@pytest.fixture
async def aggregator(tmp_path: Path) -> AsyncIterator[Aggregator]:
    aggregator = Aggregator(tmp_path)
    yield aggregator
    aggregator.server.close()
    await aggregator.commit_log.aclose()


@pytest.fixture
async def transport(aggregator: Aggregator) -> AsyncIterator[CostTransport]:
    transport = CostTransport(aggregator.find_address, aggregator.actor_call)
    yield transport
    transport.close()


def test_packing_and_unpacking_preserves_entries() -> None:
    usage = Usage(input_tokens=3, cached_input_tokens=1, audio_ms=7)
    entries: list[Entry] = [
        intent(budget_nanousd=5),
        settlement(usage=usage, outcome=Outcome.CANCELLED),
        intent("é", room="r"),
    ]
    assert unpack_entries(pack_entries(entries)) == entries


@pytest.mark.parametrize("frame", [b"", b"{}", b"[1]", b"[[]]", b'[["e1"]]', b"\xff", b'[["e1","?",1,false,{},1.0]]'])
def test_an_invalid_frame_is_rejected_without_being_quoted(frame: bytes) -> None:
    if frame == b"{}":
        assert unpack_entries(frame) == []
        return
    with pytest.raises(BadMessage, match="cannot be decoded"):
        unpack_entries(frame)


def test_frames_are_reassembled_from_any_split() -> None:
    reader, sent = MessageReader(max_bytes=100), [b"one", b"", b"three" * 20]
    received = []
    for byte in b"".join(map(framed, sent)):
        reader.feed(bytes([byte]))
        while (frame := reader.next()) is not None:
            received.append(frame)
    assert received == sent
    reader.feed(framed(b"x" * 101)[:4])
    with pytest.raises(BadMessage, match="longer"):
        reader.next()


async def test_a_batch_is_durable_once_its_receipts_arrive(aggregator: Aggregator, transport: CostTransport) -> None:
    receipts = await transport.write([intent("e1"), settlement("e1", 700), intent("e2")])
    assert list(receipts) == [1_000, 700, 1_700]
    assert (await aggregator.commit_log.totals("acme")).settled_nanousd == 700
    assert aggregator.actor_calls == 0


async def test_a_rejection_crosses_the_connection_with_its_facts(transport: CostTransport) -> None:
    first, refusal = await transport.write([intent("e1", budget_nanousd=1_500), intent("e2", budget_nanousd=1_500)])
    assert first == 1_000 and isinstance(refusal, BudgetExceeded)
    assert refusal.facts["spent_nanousd"] == 1_000 and refusal.facts["limit_nanousd"] == 1_500
    assert refusal.facts["resets_at"].startswith("1970-02-01")


async def test_a_failed_commit_raises_costs_unavailable_at_the_client(transport: CostTransport) -> None:
    with pytest.raises(CostsUnavailable) as excinfo:
        await transport.write([intent(estimate_nanousd=2**63)])
    assert excinfo.value.retry_after_s == 1.0
    assert list(await transport.write([intent()])) == [1_000]


async def test_a_broken_connection_is_reopened_at_the_new_address(aggregator: Aggregator) -> None:
    transport = CostTransport(aggregator.find_address, aggregator.actor_call)
    outbox = CostOutbox(transport.write, timeout_s=20)
    await outbox.reserve(intent("e1"))
    aggregator.restart()
    await asyncio.gather(outbox.settle(settlement("e1", 700)), outbox.reserve(intent("e2")))
    totals = await aggregator.commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd, totals.requests) == (700, 1_000, 1)
    assert aggregator.actor_calls == 0
    transport.close()


async def test_entries_written_before_a_disconnect_are_billed_once(aggregator: Aggregator) -> None:
    transport = CostTransport(aggregator.find_address, aggregator.actor_call)
    outbox = CostOutbox(transport.write, timeout_s=20)
    aggregator.may_reply.clear()
    waiting = asyncio.create_task(outbox.record([intent("e1"), settlement("e1", 700)]))
    await aggregator.received.wait()
    aggregator.may_reply.set()
    aggregator.restart()
    assert await waiting >= 0 and outbox.resends >= 1
    assert (await aggregator.commit_log.totals("acme")).settled_nanousd == 700
    transport.close()


async def test_a_late_response_is_not_taken_for_the_next_one(aggregator: Aggregator, transport: CostTransport) -> None:
    aggregator.may_reply.clear()
    cancelled = asyncio.create_task(transport.write([intent("e1", estimate_nanousd=1)]))
    await aggregator.received.wait()
    cancelled.cancel()
    await asyncio.wait({cancelled})
    aggregator.may_reply.set()
    assert list(await transport.write([intent("e2", estimate_nanousd=2), intent("e3", estimate_nanousd=3)])) == [3, 6]


async def test_costs_use_actor_calls_while_the_port_is_unreachable_and_log_it_once(
    aggregator: Aggregator,
) -> None:
    now_s = 0.0
    unreachable = dataclasses.replace(await aggregator.find_address(), port=1)

    async def find_address() -> TransportAddress:
        return unreachable if now_s < FIRST_RETRY_S else await aggregator.find_address()

    transport = CostTransport(find_address, aggregator.actor_call, lambda: now_s)
    with capture_logs() as logs:
        assert list(await transport.write([intent("e1")])) == [1_000]
        assert list(await transport.write([settlement("e1", 700)])) == [700]
        now_s = FIRST_RETRY_S
        assert list(await transport.write([intent("e2")])) == [1_700]
    assert aggregator.actor_calls == 2 and aggregator.batches == [1]
    assert len(logs) == 1 and logs[0]["event"] == "aggregator port unreached"
    transport.close()


async def test_a_connection_without_the_secret_is_closed(aggregator: Aggregator) -> None:
    address = await aggregator.find_address()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(framed(b"x" * 32) + framed(pack_entries([intent()])))
    async with asyncio.timeout(30):
        assert await _rest(reader) == b""
    writer.close()
    assert aggregator.batches == [] and "secret=" not in repr(address)


async def test_a_second_batch_before_the_first_response_closes_the_connection(aggregator: Aggregator) -> None:
    address = await aggregator.find_address()
    aggregator.may_reply.clear()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(framed(address.secret) + framed(pack_entries([intent()])) * 2)
    async with asyncio.timeout(30):
        assert await _rest(reader) == b""
    writer.close()
    aggregator.may_reply.set()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
