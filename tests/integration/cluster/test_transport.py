"""A batch of costs is written once however the connection breaks, and a connection without the secret is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from cluster.aggregator import transport as transport_module
from cluster.aggregator.messages import WIRE_VERSION, pack_entries, unpack_receipts
from cluster.aggregator.outbox import CostOutbox
from cluster.aggregator.transport import (
    AUTHORIZATION,
    FIRST_RETRY_S,
    WIRE_VERSION_HEADER,
    CostTransport,
    TransportAddress,
    TransportServer,
    detect_dead_peer,
)
from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.models import Entry, Receipt
from routing.errors import BudgetExceeded, CostsUnavailable
from tests.support.cost_entries import intent, settlement

HOST = "127.0.0.1"
DEADLINE_S = 30.0
TEXT = pack_entries([intent("e2")]).decode()
TOO_LONG = pack_entries([intent(f"e{number}") for number in range(10)])


class Aggregator:
    """A real commit log behind a real port, which may start again at another one."""

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

    async def restart(self) -> None:
        await self.server.aclose()
        self.server, self.address = TransportServer(self.write), None

    def headers(self, address: TransportAddress, version: int = WIRE_VERSION) -> dict[str, str]:
        return {AUTHORIZATION: address.secret, WIRE_VERSION_HEADER: str(version)}

    @asynccontextmanager
    async def websocket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Yield a connection with the right secret, to send anything on."""
        address = await self.find_address()
        async with (
            aiohttp.ClientSession(headers=self.headers(address)) as session,
            session.ws_connect(address.url) as websocket,
        ):
            yield websocket


class Relay:
    """A port between a client and the aggregator that can stop to pass bytes on, or break its connections."""

    def __init__(self, target: TransportAddress) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.passes = asyncio.Event()
        self.passes.set()
        self.connections = 0

    async def address(self) -> TransportAddress:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, 0)
        return dataclasses.replace(self._target, port=self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, far_writer}
        for pair in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pass_on(*pair)))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self.passes.wait()
            writer.write(data)
        writer.close()


@pytest.fixture
async def aggregator(tmp_path: Path) -> AsyncIterator[Aggregator]:
    aggregator = Aggregator(tmp_path)
    yield aggregator
    aggregator.may_reply.set()
    await aggregator.server.aclose()
    await aggregator.commit_log.aclose()


@pytest.fixture
async def transport(aggregator: Aggregator) -> AsyncIterator[CostTransport]:
    transport = CostTransport(aggregator.find_address, aggregator.actor_call)
    yield transport
    await transport.aclose()


@pytest.fixture
async def relay(aggregator: Aggregator) -> AsyncIterator[Relay]:
    relay = Relay(await aggregator.find_address())
    yield relay
    await relay.aclose()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[Exception]:
    """Return a queue of the errors that end the server's connections."""
    errors: asyncio.Queue[Exception] = asyncio.Queue()
    monkeypatch.setattr(transport_module, "_log_end", errors.put_nowait)
    return errors


async def test_a_batch_is_durable_when_its_receipts_come_back(aggregator: Aggregator, transport: CostTransport) -> None:
    receipts = await transport.write([intent("e1"), settlement("e1", 700), intent("e2")])
    assert list(receipts) == [1_000, 700, 1_700]
    assert (await aggregator.commit_log.totals("acme")).settled_nanousd == 700
    assert aggregator.actor_calls == 0


async def test_a_budget_refusal_arrives_with_its_facts(transport: CostTransport) -> None:
    first, refusal = await transport.write([intent("e1", budget_nanousd=1_500), intent("e2", budget_nanousd=1_500)])
    assert first == 1_000 and isinstance(refusal, BudgetExceeded)
    assert refusal.facts["spent_nanousd"] == 1_000 and refusal.facts["limit_nanousd"] == 1_500
    assert refusal.facts["resets_at"].startswith("1970-02-01")


async def test_a_failed_commit_raises_as_it_does_in_an_actor_call(
    aggregator: Aggregator, transport: CostTransport
) -> None:
    with pytest.raises(CostsUnavailable) as excinfo:
        await transport.write([intent(opened_at_s=float("nan"))])
    assert excinfo.value.retry_after_s == 1.0
    assert list(await transport.write([intent()])) == [1_000]
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
    assert await waiting >= 0 and outbox.resends >= 1 and relay.connections == 2
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
    assert list(await transport.write([intent("e2", estimate_nanousd=2), intent("e3", estimate_nanousd=3)])) == [3, 6]


async def test_costs_go_by_actor_calls_while_the_port_cannot_be_reached_and_one_log_line_says_so(
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
    assert list(await transport.write([intent("e1")])) == [1_000]
    assert aggregator.actor_calls == 1
    server.close()
    async with asyncio.timeout(DEADLINE_S):
        await program.left.wait()


@pytest.mark.parametrize("secret", ["", "x" * 64, "\udcff"])
async def test_a_connection_with_a_wrong_secret_is_refused(aggregator: Aggregator, secret: str) -> None:
    address = await aggregator.find_address()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    head = f"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAuthorization: {secret}\r\n\r\n"
    with capture_logs() as logs:
        writer.write(head.encode(errors="surrogateescape") + pack_entries([intent()]))
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.read()).startswith(b"HTTP/1.1 401")
    writer.close()
    assert aggregator.batches == [] and [entry["event"] for entry in logs] == ["cost connection refused"]


async def test_a_replica_with_a_wrong_secret_uses_actor_calls(aggregator: Aggregator) -> None:
    wrong = dataclasses.replace(await aggregator.find_address(), secret="0" * 64)

    async def find_address() -> TransportAddress:
        return wrong

    transport = CostTransport(find_address, aggregator.actor_call)
    assert list(await transport.write([intent()])) == [1_000]
    assert aggregator.actor_calls == 1 and aggregator.batches == []
    assert wrong.secret not in repr(wrong)


@pytest.mark.parametrize(("change", "status"), [(-2, 426), (-1, 101), (1, 101), (2, 426)])
async def test_only_a_replica_of_a_neighbouring_version_connects(
    aggregator: Aggregator, change: int, status: int
) -> None:
    address = await aggregator.find_address()
    headers = aggregator.headers(address, WIRE_VERSION + change) | {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with aiohttp.ClientSession(headers=headers) as session, session.get(address.url) as response:
        assert response.status == status


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:"])
async def test_a_connection_without_a_whole_handshake_is_closed(
    aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(transport_module, "HANDSHAKE_TIMEOUT_S", 0.1)
    address = await aggregator.find_address()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(sent)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("message", [b"[1]", b"\xff", TEXT, TOO_LONG], ids=["form", "bytes", "text", "length"])
async def test_a_message_of_another_form_ends_its_connection_and_no_other(
    aggregator: Aggregator, transport: CostTransport, monkeypatch: pytest.MonkeyPatch, message: bytes | str
) -> None:
    monkeypatch.setattr(transport_module, "MAX_MESSAGE_BYTES", 1_000)
    await transport.write([intent("e1")])
    with capture_logs() as logs:
        async with aggregator.websocket() as websocket:
            await (websocket.send_str(message) if isinstance(message, str) else websocket.send_bytes(message))
            async with asyncio.timeout(DEADLINE_S):
                assert (await websocket.receive()).type is not aiohttp.WSMsgType.BINARY
    assert [entry["event"] for entry in logs] == ["cost connection closed"]
    assert "acme" not in str(logs)
    assert list(await transport.write([settlement("e1", 700)])) == [700]
    assert aggregator.actor_calls == 0 and aggregator.batches == [1, 1]


async def test_a_batch_sent_before_the_reply_to_the_last_one_waits_for_its_turn(aggregator: Aggregator) -> None:
    aggregator.may_reply.clear()
    async with aggregator.websocket() as websocket:
        await websocket.send_bytes(pack_entries([intent("e1")]))
        await websocket.send_bytes(pack_entries([intent("e2")]))
        await aggregator.received.wait()
        assert aggregator.batches == [1]
        aggregator.may_reply.set()
        assert [unpack_receipts(await websocket.receive_bytes()) for _ in range(2)] == [[1_000], [2_000]]


async def test_a_client_that_does_not_read_its_reply_is_disconnected(
    aggregator: Aggregator, relay: Relay, ended: asyncio.Queue[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "REPLY_TIMEOUT_S", 0.2)

    async def write(entries: list[Entry]) -> list[Receipt]:
        relay.passes.clear()
        return [10**12] * 1_000_000

    monkeypatch.setattr(aggregator.commit_log, "write", write)
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

    monkeypatch.setattr(transport_module, "detect_dead_peer", probe)
    await transport.write([intent()])
    assert probed == [30_000, 30_000]
