"""SendEntries cost entries through one transport to a server in a process of its own, and count the CPU time of both.

Run with a transport's name it is the client: it starts the server, reads a load as JSON from each line on stdin, and
prints the figures as JSON. A request reserves and settles one attempt through the replica's own outbox.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import ray
import uvloop

from cluster.aggregator.outbox import CostOutbox, SendEntries
from cluster.aggregator.transport import CostTransport, TransportAddress
from cluster.aggregator.transport_server import TransportServer
from cluster.costs.models import Entry, Receipt
from routing.models import Spending
from routing.process import configure_logs
from tests.benchmarks.cores import cpu_s
from tests.benchmarks.transport.peers import (
    HOST,
    AiohttpPost,
    Grpc,
    OwnStreams,
    Peer,
    PeerTransport,
    Websockets,
    replying,
)
from tests.support.cost_entries import intent, settlement

SHIPPED, OWN, ACTOR = "transport.py", "no library", "Ray actor call"
PEERS: dict[str, Callable[[], Peer]] = {
    "websockets": Websockets,
    "aiohttp, POST": AiohttpPost,
    "grpc.aio": Grpc,
    OWN: OwnStreams,
}
COMMIT_S = 0.001
"""The server waits this long before each reply, as for a commit to disk, so that batches form as in production."""
TIMEOUT_S = 10.0
BUDGET_NANOUSD = 50_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLoad:
    """`callers` make `requests` in all; a vendor takes half to one and a half times `vendor_s`."""

    callers: int
    requests: int
    vendor_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportFigures:
    """The CPU milliseconds of both processes a request, and the entries of a mean batch."""

    cpu_ms: float
    batch_entries: float
    resends: int


class CountedSend:
    """Count the batches and entries that an outbox sends."""

    def __init__(self, send: SendEntries) -> None:
        self._send = send
        self.batches = 0
        self.entries = 0

    async def __call__(self, entries: list[Entry]) -> Sequence[Receipt]:
        self.batches += 1
        self.entries += len(entries)
        return await self._send(entries)


class ReceiptActor:
    """An actor that answers as the servers do."""

    async def write(self, entries: list[Entry]) -> list[Receipt]:
        return await commit(entries)

    async def pid(self) -> int:
        return os.getpid()


async def commit(entries: Sequence[Entry]) -> list[Receipt]:
    """Return a receipt an entry after `COMMIT_S`, without a disk."""
    await asyncio.sleep(COMMIT_S)
    return [Spending(month_nanousd=1_000)] * len(entries)


async def serve(name: str) -> None:
    """Listen, print the address as JSON, and serve until the process is terminated."""
    if name == SHIPPED:
        address = await TransportServer(commit).listen(HOST)
    else:
        secret = secrets.token_hex()
        # Kept in a variable: grpc stops a server that is garbage-collected.
        peer = PEERS[name]()
        port = await peer.listen(replying(commit), secret)
        address = TransportAddress(host=HOST, port=port, secret=secret)
    print(json.dumps({"port": address.port, "secret": address.secret}), flush=True)
    await asyncio.Event().wait()


async def drive(name: str) -> None:
    """Measure the loads on stdin until it ends."""
    async with _actor() if name == ACTOR else _server(name) as (send, server_pid):
        counted = CountedSend(send)
        outbox = CostOutbox(counted, TIMEOUT_S)
        while line := await asyncio.to_thread(sys.stdin.readline):
            load = TransportLoad(**json.loads(line))
            counted.batches = counted.entries = 0
            pids = os.getpid(), server_pid
            began_s = cpu_s(pids)
            await run(outbox, load)
            figures = TransportFigures(
                cpu_ms=1_000 * (cpu_s(pids) - began_s) / load.requests,
                batch_entries=counted.entries / counted.batches,
                resends=outbox.resends,
            )
            print(json.dumps(asdict(figures)), flush=True)


async def run(outbox: CostOutbox, load: TransportLoad) -> None:
    """Reserve and settle the load's requests."""
    rng = random.Random(7)

    async def caller(number: int) -> None:
        for index in range(load.requests // load.callers):
            event_id = f"{number:08x}-{index:012x}-9f2c41b6a0de"
            await outbox.reserve(intent(event_id, budget_nanousd=BUDGET_NANOUSD))
            if load.vendor_s:
                await asyncio.sleep(load.vendor_s * rng.uniform(0.5, 1.5))
            await outbox.settle(settlement(event_id))

    await asyncio.gather(*(caller(number) for number in range(load.callers)))


@asynccontextmanager
async def _actor() -> AsyncIterator[tuple[SendEntries, int]]:
    """Yield the call of an actor and the pid of its process; Ray's other processes are not counted."""
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    await asyncio.to_thread(lambda: ray.init(num_cpus=2, **quiet))
    actor: Any = ray.remote(ReceiptActor).options(num_cpus=0, max_concurrency=100).remote()

    async def write(entries: list[Entry]) -> Sequence[Receipt]:
        receipts: Sequence[Receipt] = await actor.write.remote(entries)
        return receipts

    yield write, await actor.pid.remote()
    ray.shutdown()


@asynccontextmanager
async def _server(name: str) -> AsyncIterator[tuple[SendEntries, int]]:
    """Yield the write of a transport's client and the pid of its server, which is started."""
    command = [sys.executable, "-m", "tests.benchmarks.transport.load", "serve", name]
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        found = json.loads(await server.stdout.readline())
        address = TransportAddress(host=HOST, port=found["port"], secret=found["secret"])

        async def find() -> TransportAddress:
            return address

        transport = CostTransport(find, _no_call) if name == SHIPPED else PeerTransport(PEERS[name](), address)
        yield transport.write, server.pid
        await transport.aclose()
    finally:
        server.terminate()
        await server.wait()


async def _no_call(entries: list[Entry]) -> Sequence[Receipt]:
    raise RuntimeError("the benchmark's own connection was not made")


if __name__ == "__main__":
    configure_logs()
    uvloop.run(serve(sys.argv[2]) if sys.argv[1] == "serve" else drive(sys.argv[1]))
