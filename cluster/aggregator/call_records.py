"""Send a model replica's call records to the aggregator: each is on its socket before the vendor's request leaves."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from aiohttp import ClientError

from cluster.aggregator.call_files import MAX_DIRECTORIES, CallFiles
from cluster.aggregator.handle import AggregatorHandle
from cluster.aggregator.messages import pack_records
from cluster.aggregator.transport import (
    CALL_RECORDS,
    CONTENT_HEADER,
    KEPT_HEADER,
    RECORDS_EVERY_S,
    REPLICA_HEADER,
    TAKEN_OVER_HEADER,
    ClientConnection,
    TransportAddress,
    connect,
)
from cluster.costs.storage.shard_files import shard_of
from routing.errors import CostsUnavailable
from routing.models import CallRecord
from routing.retry import backoff_s

KEPT_S = 600.0
"""Longer than an intent lives: a restarted aggregator gets the records of all calls that it may still ask for."""
MAX_KEPT = 50_000
MAX_MESSAGE_RECORDS = 5_000
NO_RECORDS = pack_records([])
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.1, 5.0
CLOSE_TIMEOUT_S = 1.0

log = structlog.get_logger()


class ShardedCallRecords:
    """Implement `CallRecords` of routing.models: each record goes to its tenant's shard. It can be pickled.

    Every shard is connected to, since an intent without a record may only count as never left where all would arrive.
    """

    def __init__(self, outboxes: Sequence[CallRecordOutbox]) -> None:
        self._outboxes = tuple(outboxes)

    def start(self) -> None:
        for outbox in self._outboxes:
            outbox.start()

    def add(self, record: CallRecord) -> None:
        self._outboxes[shard_of(record.tenant_id, len(self._outboxes))].add(record)

    async def aclose(self) -> None:
        await asyncio.gather(*(outbox.aclose() for outbox in self._outboxes))


class CallRecordOutbox:
    """Deliver a replica's call records to one shard. Connects in `start` or at the first record, so it can be pickled.

    No record is acknowledged: the youngest ones are kept, and sent again on each new connection. They are also in files
    below `directory`, from which another replica sends them when this one is killed.
    """

    def __init__(
        self, aggregator: AggregatorHandle, directory: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._aggregator = aggregator
        self._directory = directory
        self._clock = clock
        self._kept: dict[str, tuple[CallRecord, float]] = {}
        self._fresh: list[CallRecord] = []
        self._connection: ClientConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._replica_id = uuid.uuid4().hex
        self._files: CallFiles | None = None
        self._ended: dict[str, None] = {}
        """The ids of dead replicas. Their records are kept here too."""
        self._unsent: dict[str, None] = {}
        """Those of them that the present aggregator does not know of."""
        self._dropped_at_s = -math.inf
        """When the newest record was added that had to be dropped."""
        self.dropped = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return CallRecordOutbox, (self._aggregator, self._directory)

    def start(self) -> None:
        """Connect in the background. Call it on the replica's event loop when the replica starts."""
        if self._running is None or self._running.done():
            self._open_files()
            self._running = asyncio.get_running_loop().create_task(self._run())

    def add(self, record: CallRecord) -> None:
        """Queue a record; it is written to the socket at the event loop's next turn, with all others of this one."""
        self.start()
        self._keep(record)
        if not self._fresh:
            asyncio.get_running_loop().call_soon(self._send_fresh)
        self._fresh.append(record)

    def _keep(self, record: CallRecord) -> None:
        now_s = self._clock()
        self._kept.pop(record.event_id, None)
        self._kept[record.event_id] = (record, now_s)
        while now_s - next(iter(self._kept.values()))[1] > KEPT_S:
            del self._kept[next(iter(self._kept))]
        self._bound_kept()

    def _bound_kept(self) -> None:
        while len(self._kept) > MAX_KEPT:
            self.dropped += 1
            oldest = next(iter(self._kept))
            self._dropped_at_s = self._kept.pop(oldest)[1]

    def _open_files(self) -> None:
        if self._files is None:
            self._files = CallFiles(self._directory, self._replica_id, KEPT_S)
            try:
                self._files.open()
            except OSError as error:
                self._lose_files(error)

    def _lose_files(self, error: OSError) -> None:
        """Go on without files: a write failed, so that they are incomplete."""
        if self._files is not None:
            log.warning(
                "call records not written to files", error=type(error).__name__, effect="lost if this replica is killed"
            )
            self._files.remove()
            self._files = None

    def _send_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        message = pack_records(fresh)
        if self._files is not None:
            try:
                self._files.write(message)
            except OSError as error:
                self._lose_files(error)
        if self._connection is not None:
            self._send(self._connection, message)

    def _send(self, connection: ClientConnection, message: bytes) -> None:
        """Write records to a connection. After one that broke, the next one gets them again."""
        try:
            connection.send(message)
        except ConnectionError:
            self._connection = None

    async def _run(self) -> None:
        """Keep a connection for ever."""
        failures = 0
        while True:
            try:
                address = await self._aggregator.call("address")
                connection = await connect(address, self._headers(self._replica_id))
            except (OSError, ClientError, TimeoutError) as error:
                failures += 1
                log.warning(
                    "aggregator port unreached", error=type(error).__name__, effect="call records go by actor calls"
                )
                await self._send_by_call()
            except CostsUnavailable:
                failures += 1
            else:
                failures = 0
                await self._stream(connection, address)
            await asyncio.sleep(backoff_s(failures, FIRST_BACKOFF_S, MAX_BACKOFF_S))

    def _headers(self, replica_id: str) -> dict[str, str]:
        kept_s = min(KEPT_S, self._clock() - self._dropped_at_s)
        return {CONTENT_HEADER: CALL_RECORDS, REPLICA_HEADER: replica_id, KEPT_HEADER: f"{kept_s:.3f}"}

    async def _stream(self, connection: ClientConnection, address: TransportAddress) -> None:
        """Send every kept record and an empty message, then each new record, until the connection ends."""
        self._connection = connection
        self._unsent = dict.fromkeys(self._ended)
        ended = asyncio.create_task(connection.ended())
        try:
            for message in self._kept_messages():
                self._send(connection, message)
            while self._connection is connection and not ended.done():
                await self._take_over()
                await self._send_ended(address)
                await asyncio.wait({ended}, timeout=RECORDS_EVERY_S)
                self._send(connection, NO_RECORDS)
        finally:
            self._connection = None
            ended.cancel()
            await connection.aclose()

    async def _take_over(self) -> None:
        """Keep the records of replicas of this node that were killed, or have ended."""
        if self._files is None:
            return
        try:
            ended = await asyncio.to_thread(self._files.take_over)
        except OSError as error:
            self._lose_files(error)
            return
        now_s = self._clock()
        # Before the own ones, which are dropped last.
        self._kept = {event_id: (record, now_s) for event_id, record in ended.records.items()} | self._kept
        self._bound_kept()
        for replica_id in ended.replica_ids:
            self._ended[replica_id] = self._unsent[replica_id] = None
        while len(self._ended) > MAX_DIRECTORIES:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._unsent.pop(oldest, None)

    async def _send_ended(self, address: TransportAddress) -> None:
        """Send the records of the dead replicas on connections in their names. What fails is sent at the next turn."""
        for replica_id in list(self._unsent):
            headers = self._headers(replica_id) | {TAKEN_OVER_HEADER: self._replica_id}
            try:
                connection = await connect(address, headers)
            except (OSError, ClientError, TimeoutError):
                return
            try:
                for message in self._kept_messages():
                    connection.send(message)
                del self._unsent[replica_id]
            except ConnectionError:
                return
            finally:
                await connection.aclose()

    async def _send_by_call(self) -> None:
        try:
            for message in self._kept_messages():
                await self._aggregator.call("add_call_records", message)
        except CostsUnavailable:
            return

    def _kept_messages(self) -> list[bytes]:
        """Return the messages with all kept records, and the empty one that ends them."""
        kept = [record for record, _ in self._kept.values()]
        parts = [kept[start : start + MAX_MESSAGE_RECORDS] for start in range(0, len(kept), MAX_MESSAGE_RECORDS)]
        return [*map(pack_records, parts), NO_RECORDS]

    async def aclose(self) -> None:
        """Let the written records leave, for CLOSE_TIMEOUT_S at most, and end the connection."""
        if self._running is None:
            return
        self._send_fresh()
        # The close handshake follows the records in the same stream.
        self._running.cancel()
        await asyncio.wait({self._running}, timeout=CLOSE_TIMEOUT_S)
        if self._files is not None:
            self._files.close()
