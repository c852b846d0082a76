"""A batch of costs is written once however the connection breaks."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from cluster.aggregator import transport as transport_module
from cluster.aggregator import transport_server
from cluster.aggregator.messages import pack_entries, unpack_receipts
from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import FIRST_RETRY_S, CostTransport, TransportAddress, detect_dead_peer
from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from tests.integration.cluster.cost_links import DEADLINE_S, HOST, Aggregator, Relay
from tests.support.cost_entries import intent, month_spending, settlement

TEXT = pack_entries([intent("e2")]).decode()
MORE_THAN_BUFFERS = 32_000_000
"""Bytes that the socket buffers of a connection do not hold."""
TOO_LONG = pack_entries([intent(f"e{number}") for number in range(10)])


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[Exception]:
    """Return a queue of the errors that end the server's connections."""
    errors: asyncio.Queue[Exception] = asyncio.Queue()
    monkeypatch.setattr(transport_server, "_log_end", errors.put_nowait)
    return errors


async def test_a_batch_is_durable_when_its_receipts_come_back(aggregator: Aggregator, transport: CostTransport) -> None:
    receipts = await transport.write([intent("e1"), settlement("e1", 700), intent("e2")])
    assert month_spending(receipts) == [1_000, 700, 1_700]
    assert (await aggregator.commit_log.totals("acme")).settled_nanousd == 700
    assert aggregator.actor_calls == 0


async def test_a_budget_refusal_arrives_with_its_facts(transport: CostTransport) -> None:
    first, refusal = await transport.write([intent("e1", budget_nanousd=1_500), intent("e2", budget_nanousd=1_500)])
    assert month_spending([first]) == [1_000] and isinstance(refusal, BudgetExceeded)
    assert refusal.facts["spent_nanousd"] == 1_000 and refusal.facts["limit_nanousd"] == 1_500
    assert refusal.facts["resets_at"].startswith("1970-02-01")


async def test_a_failed_commit_raises_as_it_does_in_an_actor_call(
    aggregator: Aggregator, transport: CostTransport
) -> None:
    with pytest.raises(CostsUnavailable) as excinfo:
        await transport.write([intent(opened_at_s=float("nan"))])
    assert excinfo.value.retry_after_s == 1.0
    assert month_spending(await transport.write([intent()])) == [1_000]
    assert aggregator.actor_calls == 0


async def test_a_restarted_aggregator_is_found_at_its_new_port(
    aggregator: Aggregator, transport: CostTransport
) -> None:
    outbox = CostOutbox(transport.write, timeout_s=20)
    await outbox.reserve(intent("e1"))
    await aggregator.restart()
    await asyncio.gather(outbox.settle(settlement("e1", 700)), outbox.reserve(intent("e2")))
    totals = await aggregator.commit_log.totals("acme")
    assert (totals.settled_nanousd, totals.reserved_nanousd, totals.requests) == (700, 1_000, 1)
    assert aggregator.actor_calls == 0


async def test_a_batch_that_was_written_when_the_connection_broke_is_billed_once(
    aggregator: Aggregator, relay: Relay
) -> None:
    transport = CostTransport(relay.address, aggregator.actor_call)
    outbox = CostOutbox(transport.write, timeout_s=20)
    aggregator.may_reply.clear()
    waiting = asyncio.create_task(outbox.record([intent("e1"), settlement("e1", 700)]))
    await aggregator.received.wait()
    relay.cut()
    aggregator.may_reply.set()
    assert (await waiting).month_nanousd >= 0 and outbox.resends >= 1 and relay.connections == 2
    assert (await aggregator.commit_log.totals("acme")).settled_nanousd == 700
    await transport.aclose()


async def test_a_peer_that_falls_silent_is_left_at_the_deadline_and_connected_anew(
    aggregator: Aggregator, relay: Relay
) -> None:
    transport = CostTransport(relay.address, aggregator.actor_call)
    outbox = CostOutbox(transport.write, timeout_s=1)
    await outbox.reserve(intent("e1"))
    relay.passes.clear()
    with pytest.raises(CostsUnavailable):
        await outbox.settle(settlement("e1", 700))
    relay.passes.set()
    await outbox.aclose()
    assert outbox.waiting == 0 and relay.connections >= 2
    assert (await aggregator.commit_log.totals("acme")).settled_nanousd == 700
    await transport.aclose()


async def test_the_reply_to_a_cancelled_batch_is_never_taken_for_the_next(
    aggregator: Aggregator, transport: CostTransport
) -> None:
    aggregator.may_reply.clear()
    cancelled = asyncio.create_task(transport.write([intent("e1", estimate_nanousd=1)]))
    await aggregator.received.wait()
    cancelled.cancel()
    await asyncio.wait({cancelled})
    aggregator.may_reply.set()
    assert month_spending(
        await transport.write([intent("e2", estimate_nanousd=2), intent("e3", estimate_nanousd=3)])
    ) == [3, 6]


async def test_costs_go_by_actor_calls_while_the_port_cannot_be_reached_and_one_log_line_says_so(
    aggregator: Aggregator,
) -> None:
    now_s = 0.0
    unreachable = dataclasses.replace(await aggregator.find_address(), port=1)

    async def find_address() -> TransportAddress:
        return unreachable if now_s < FIRST_RETRY_S else await aggregator.find_address()

    transport = CostTransport(find_address, aggregator.actor_call, lambda: now_s)
    with capture_logs() as logs:
        assert month_spending(await transport.write([intent("e1")])) == [1_000]
        assert month_spending(await transport.write([settlement("e1", 700)])) == [700]
        now_s = FIRST_RETRY_S
        assert month_spending(await transport.write([intent("e2")])) == [1_700]
    assert aggregator.actor_calls == 2 and aggregator.batches == [1]
    assert [entry["event"] for entry in logs] == ["aggregator port unreached"]
    await transport.aclose()


class OtherProgram(asyncio.Protocol):
    """Something else at the aggregator's port: it sends a banner, if any, and closes or waits."""

    def __init__(self, banner: bytes, closes: bool) -> None:
        self._banner = banner
        self._closes = closes
        self.left = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast(asyncio.Transport, transport)
        connection.write(self._banner)
        if self._closes:
            connection.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.left.set()


@pytest.mark.parametrize(("banner", "closes"), [(b"", True), (b"220 mail.example.org ESMTP\r\n", False), (b"", False)])
async def test_costs_go_by_actor_calls_while_another_program_answers_at_the_port(
    aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch, banner: bytes, closes: bool
) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT_S", 0.3)
    program = OtherProgram(banner, closes)
    server = await asyncio.get_running_loop().create_server(lambda: program, HOST, 0)
    address = dataclasses.replace(await aggregator.find_address(), port=server.sockets[0].getsockname()[1])

    async def find_address() -> TransportAddress:
        return address

    transport = CostTransport(find_address, aggregator.actor_call)
    assert month_spending(await transport.write([intent("e1")])) == [1_000]
    assert aggregator.actor_calls == 1
    server.close()
    async with asyncio.timeout(DEADLINE_S):
        await program.left.wait()


async def test_a_replica_with_a_wrong_secret_uses_actor_calls(aggregator: Aggregator) -> None:
    wrong = dataclasses.replace(await aggregator.find_address(), secret="0" * 64)

    async def find_address() -> TransportAddress:
        return wrong

    transport = CostTransport(find_address, aggregator.actor_call)
    assert month_spending(await transport.write([intent()])) == [1_000]
    assert aggregator.actor_calls == 1 and aggregator.batches == []
    assert wrong.secret not in repr(wrong)


@pytest.mark.parametrize("message", [b"[1]", b"\xff", TEXT, TOO_LONG], ids=["form", "bytes", "text", "length"])
async def test_a_message_of_another_form_ends_its_connection_and_no_other(
    aggregator: Aggregator, transport: CostTransport, monkeypatch: pytest.MonkeyPatch, message: bytes | str
) -> None:
    monkeypatch.setattr(transport_server, "MAX_MESSAGE_BYTES", 1_000)
    await transport.write([intent("e1")])
    with capture_logs() as logs:
        async with aggregator.websocket() as websocket:
            await (websocket.send_str(message) if isinstance(message, str) else websocket.send_bytes(message))
            async with asyncio.timeout(DEADLINE_S):
                assert (await websocket.receive()).type is not aiohttp.WSMsgType.BINARY
    assert [entry["event"] for entry in logs] == ["cost connection closed"]
    assert "acme" not in str(logs)
    assert month_spending(await transport.write([settlement("e1", 700)])) == [700]
    assert aggregator.actor_calls == 0 and aggregator.batches == [1, 1]


async def test_a_batch_sent_before_the_reply_to_the_last_one_waits_for_its_turn(aggregator: Aggregator) -> None:
    aggregator.may_reply.clear()
    async with aggregator.websocket() as websocket:
        await websocket.send_bytes(pack_entries([intent("e1")]))
        await websocket.send_bytes(pack_entries([intent("e2")]))
        await aggregator.received.wait()
        assert aggregator.batches == [1]
        aggregator.may_reply.set()
        replies = [unpack_receipts(await websocket.receive_bytes()) for _ in range(2)]
        assert [month_spending(reply) for reply in replies] == [[1_000], [2_000]]


async def test_a_client_that_does_not_read_its_reply_is_disconnected(
    aggregator: Aggregator, relay: Relay, ended: asyncio.Queue[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_server, "REPLY_TIMEOUT_S", 0.2)

    def pack(receipts: list[Receipt]) -> bytes:
        relay.passes.clear()
        return bytes(MORE_THAN_BUFFERS)

    monkeypatch.setattr(transport_server, "pack_receipts", pack)
    transport = CostTransport(relay.address, aggregator.actor_call)
    waiting = asyncio.create_task(transport.write([intent()]))
    async with asyncio.timeout(DEADLINE_S):
        assert isinstance(await ended.get(), TimeoutError)
    relay.passes.set()
    with pytest.raises(ConnectionError):
        await waiting


async def test_an_error_of_the_commit_log_ends_the_connection_and_is_named_without_its_text(
    aggregator: Aggregator, transport: CostTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(entries: list[Entry]) -> list[Receipt]:
        raise KeyError("tenant data")

    monkeypatch.setattr(aggregator.commit_log, "write", fail)
    with capture_logs() as logs, pytest.raises(ConnectionError):
        await transport.write([intent()])
    assert logs == [{"event": "cost connection closed", "error": "KeyError", "log_level": "error"}]


async def test_both_ends_let_the_kernel_probe_a_silent_peer(
    transport: CostTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[int] = []

    def probe(connection: socket.socket) -> None:
        detect_dead_peer(connection)
        # A connection that broke during its handshake has no socket.
        detect_dead_peer(None)
        probed.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    for module in (transport_module, transport_server):
        monkeypatch.setattr(module, "detect_dead_peer", probe)
    await transport.write([intent()])
    assert probed == [30_000, 30_000]
