"""A model replica's call records reach the aggregator: at once, after a restart, and without a port."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cluster.aggregator import call_records, transport_server
from cluster.aggregator.call_records import KEPT_S, CallRecordOutbox, ShardedCallRecords
from cluster.aggregator.client import AggregatorClient
from cluster.aggregator.deployment import aggregator_settings
from cluster.aggregator.handle import AggregatorHandle
from cluster.aggregator.messages import pack_records, unpack_records
from cluster.aggregator.transport import CALL_RECORDS, CONTENT_HEADER, KEPT_HEADER, TransportAddress, connect
from cluster.aggregator.transport_server import TransportServer
from cluster.config.settings import BackendSettings, CostSettings
from cluster.costs.models import Entry, Receipt
from routing.errors import CostsUnavailable
from routing.models import CallRecord
from tests.support.cost_entries import call_record
from tests.support.manual_clock import ManualClock

HOST = "127.0.0.1"
DEADLINE_S = 30.0
SETTINGS = aggregator_settings(CostSettings(), BackendSettings(), {}, now_s=100.0)


class Aggregator(AggregatorHandle):
    """The receiving end, found without an actor."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.server = TransportServer(self.write, self)
        self.address: TransportAddress | None = None
        self.unreachable = False
        self.away = False
        self.arrived: asyncio.Queue[CallRecord] = asyncio.Queue()
        self.by_call: list[CallRecord] = []
        self.called = asyncio.Event()
        self.ended: asyncio.Queue[bool] = asyncio.Queue()
        self.connected: asyncio.Queue[str] = asyncio.Queue()
        self.taken_over: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.complete: asyncio.Queue[tuple[str, float, int]] = asyncio.Queue()
        self.ping = 0
        self.replied: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue()

    async def call(self, method: str, *values: object) -> object:
        if method == "add_call_records":
            (message,) = values
            assert isinstance(message, bytes)
            self.by_call += unpack_records(message)
            self.called.set()
            return None
        assert method == "address"
        if self.away:
            raise CostsUnavailable(retry_after_s=0.1)
        if self.address is None:
            self.address = await self.server.listen(HOST)
        return TransportAddress(host=HOST, port=1, secret="x") if self.unreachable else self.address

    async def write(self, entries: list[Entry]) -> list[Receipt]:
        raise AssertionError("call records are no entries")

    def replica_connected(self, replica_id: str) -> None:
        self.connected.put_nowait(replica_id)

    def replica_complete(self, replica_id: str, kept_s: float) -> None:
        self.complete.put_nowait((replica_id, kept_s, self.arrived.qsize()))

    def add_call_records(self, records: Iterable[CallRecord]) -> None:
        for record in records:
            self.arrived.put_nowait(record)

    def replica_replied(self, replica_id: str, ping: int) -> None:
        self.replied.put_nowait((replica_id, ping, self.arrived.qsize()))

    def replica_disconnected(self, replica_id: str, *, records_lost: bool, taken_over_by: str | None = None) -> None:
        self.ended.put_nowait(records_lost)
        if taken_over_by is not None:
            self.taken_over.put_nowait((replica_id, taken_over_by))

    async def restart(self) -> None:
        await self.server.aclose()
        self.server, self.address = TransportServer(self.write, self), None

    async def next_record(self) -> CallRecord:
        async with asyncio.timeout(DEADLINE_S):
            return await self.arrived.get()


@pytest.fixture
async def aggregator() -> AsyncIterator[Aggregator]:
    aggregator = Aggregator()
    yield aggregator
    await aggregator.server.aclose()


@pytest.fixture
async def outbox(aggregator: Aggregator, tmp_path: Path) -> AsyncIterator[CallRecordOutbox]:
    outbox = CallRecordOutbox(aggregator, tmp_path)
    outbox.start()
    outbox.add(call_record("e0"))
    await aggregator.next_record()
    yield outbox
    await outbox.aclose()


async def test_a_record_is_on_its_socket_one_turn_of_the_event_loop_later(
    aggregator: Aggregator, outbox: CallRecordOutbox
) -> None:
    connection = outbox._connection
    assert connection is not None
    outbox.add(call_record(ended=False))
    await asyncio.sleep(0)
    # As a kill does: what was written is sent, and what waits in the process is lost.
    connection.websocket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    assert await aggregator.next_record() == call_record(ended=False)


async def test_the_records_of_one_turn_travel_together_and_in_order(
    aggregator: Aggregator, outbox: CallRecordOutbox
) -> None:
    for number in range(100):
        outbox.add(call_record(f"e{number}"))
    assert [(await aggregator.next_record()).event_id for _ in range(100)] == [f"e{number}" for number in range(100)]


async def test_a_restarted_aggregator_gets_the_latest_records_again(
    aggregator: Aggregator, outbox: CallRecordOutbox
) -> None:
    outbox.add(call_record("e1", ended=False))
    outbox.add(call_record("e1"))
    outbox.add(call_record("e2", ended=False))
    for _ in range(3):
        await aggregator.next_record()
    await aggregator.restart()
    latest = [call_record("e0"), call_record("e1"), call_record("e2", ended=False)]
    assert [await aggregator.next_record() for _ in range(3)] == latest


async def test_a_replica_reconnects_by_its_id_and_tells_when_all_its_kept_records_have_been_sent(
    aggregator: Aggregator, outbox: CallRecordOutbox
) -> None:
    async with asyncio.timeout(DEADLINE_S):
        replica_id, *_ = await aggregator.complete.get()
        assert await aggregator.connected.get() == replica_id
        outbox.add(call_record("e1"))
        await aggregator.arrived.get()
        await aggregator.restart()
        assert await aggregator.connected.get() == replica_id
        assert await aggregator.complete.get() == (replica_id, KEPT_S, 2)


async def test_a_replica_sends_the_records_of_one_that_died_while_no_aggregator_ran(
    aggregator: Aggregator, outbox: CallRecordOutbox, tmp_path: Path
) -> None:
    await aggregator.restart()
    aggregator.away = True
    outbox.add(call_record("e1", ended=False))
    await asyncio.sleep(0)
    await outbox.aclose()
    aggregator.away = False
    other = CallRecordOutbox(aggregator, tmp_path)
    other.start()
    async with asyncio.timeout(DEADLINE_S):
        assert await aggregator.taken_over.get() == (outbox._replica_id, other._replica_id)
    assert {aggregator.arrived.get_nowait().event_id for _ in range(2)} == {"e0", "e1"}
    assert [(await aggregator.complete.get())[0] for _ in range(3)][1:] == [other._replica_id, outbox._replica_id]
    await aggregator.restart()
    async with asyncio.timeout(DEADLINE_S):
        assert await aggregator.taken_over.get() == (outbox._replica_id, other._replica_id)
    await other.aclose()


async def test_a_replica_whose_files_cannot_be_written_sends_its_records_all_the_same(
    aggregator: Aggregator, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    outbox = CallRecordOutbox(aggregator, tmp_path / "file")
    outbox.add(call_record("e1"))
    assert await aggregator.next_record() == call_record("e1")
    await outbox.aclose()


async def test_a_replica_that_dropped_records_tells_how_far_back_the_others_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = ManualClock(100.0)
    outbox = CallRecordOutbox(Aggregator(), tmp_path, clock)
    monkeypatch.setattr(call_records, "MAX_KEPT", 1)
    for number in range(3):
        outbox._keep(call_record(f"e{number}"))
        clock.now_s += 10.0
    assert outbox._headers("replica")[KEPT_HEADER] == "20.000"


async def test_a_replica_without_an_id_is_never_taken_for_one_that_was_connected_before(
    aggregator: Aggregator,
) -> None:
    await aggregator.call("address")
    assert aggregator.address is not None
    ids = set()
    for kept in ("", "-1", "nan", "inf", "x"):
        connection = await connect(aggregator.address, {CONTENT_HEADER: CALL_RECORDS, KEPT_HEADER: kept})
        connection.send(pack_records([]))
        async with asyncio.timeout(DEADLINE_S):
            replica_id, kept_s, _ = await aggregator.complete.get()
        ids.add(replica_id)
        assert kept_s == 0.0
        await connection.aclose()
    assert len(ids) == 5


async def test_without_a_port_the_records_go_by_actor_calls(aggregator: Aggregator, tmp_path: Path) -> None:
    aggregator.unreachable = True
    outbox = CallRecordOutbox(aggregator, tmp_path)
    outbox.add(call_record())
    async with asyncio.timeout(DEADLINE_S):
        await aggregator.called.wait()
    await outbox.aclose()
    assert aggregator.by_call[0] == call_record()


@pytest.mark.parametrize(("silent_s", "lost"), [(15.0, False), (-1.0, True)])
async def test_records_may_be_lost_where_a_replica_was_silent_before_its_connection_ended(
    aggregator: Aggregator, outbox: CallRecordOutbox, monkeypatch: pytest.MonkeyPatch, silent_s: float, lost: bool
) -> None:
    monkeypatch.setattr(transport_server, "RECORDS_SILENT_S", silent_s)
    await outbox.aclose()
    async with asyncio.timeout(DEADLINE_S):
        assert await aggregator.ended.get() is lost


async def test_a_replica_replies_to_each_new_ping_after_all_that_it_wrote_before(
    aggregator: Aggregator, outbox: CallRecordOutbox
) -> None:
    replica_id = aggregator.connected.get_nowait()
    for ping in (1, 2):
        aggregator.ping = ping
        outbox.add(call_record("a"))
        outbox.add(call_record("b", ended=False))
        async with asyncio.timeout(DEADLINE_S):
            assert await aggregator.replied.get() == (replica_id, ping, 2 * ping)
    assert aggregator.replied.empty()


async def test_a_message_of_another_form_ends_its_connection(aggregator: Aggregator, outbox: CallRecordOutbox) -> None:
    connection = outbox._connection
    assert connection is not None
    connection.send(b"[1]")
    async with asyncio.timeout(DEADLINE_S):
        await aggregator.ended.get()
    assert aggregator.arrived.empty()


async def test_records_in_a_text_end_their_connection_unread(aggregator: Aggregator, outbox: CallRecordOutbox) -> None:
    connection = outbox._connection
    assert connection is not None
    with capture_logs() as logs:
        await connection.websocket.send_str(pack_records([call_record("e1")]).decode())
        async with asyncio.timeout(DEADLINE_S):
            await aggregator.ended.get()
    assert [(line["log_level"], line["error"]) for line in logs if line["event"] == "cost connection closed"] == [
        ("warning", "a message is not binary or too long")
    ]
    assert aggregator.arrived.empty()


async def test_the_sink_of_a_deployment_can_be_pickled() -> None:
    sink = pickle.loads(pickle.dumps(AggregatorClient(SETTINGS).call_records()))
    assert isinstance(sink, ShardedCallRecords)
