"""Run the aggregator's money path in a process without Ray: journal, commit log, sealer, flusher and cost transport."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

from cluster.aggregator.transport import TransportAddress
from cluster.aggregator.transport_server import TransportServer
from cluster.backend.trpc import TrpcBackend
from cluster.costs import entry_writer
from cluster.costs.archiver import Archiver
from cluster.costs.booking_clock import BookingClock
from cluster.costs.commit_log import CommitLog
from cluster.costs.flusher import Flusher
from cluster.costs.journal import JournalBusy
from cluster.costs.models import Entry, Receipt
from cluster.costs.sealer import Sealer
from routing.errors import RayroomError
from tests.chaos.fault_points import FaultPoint, FaultyBackend, FaultyJournal, Point

HOST = "127.0.0.1"
AFTER_REPLY_S = 0.002
JOURNAL_BUSY = 3
"""The exit status of a process that finds the journal taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsPlan:
    """All that one life of the process needs."""

    directory: Path
    backend_url: str
    backend_key: str
    flush_every_s: float
    outbox_grace_s: float
    watch_s: float
    """How long a better report of an estimated event is waited for."""
    clock_offset_s: float = 0.0
    """Added to the wall clock, so that a run can pass the end of a month."""
    point: Point | None = None
    passages: int = 0

    @property
    def journal(self) -> Path:
        return self.directory / "journal.db"

    @property
    def address(self) -> Path:
        return self.directory / "address.json"


class CostsProcess:
    """The parts of `Aggregator`, without its actor.

    SIGTERM drains and closes it; SIGUSR1 fills the disk, SIGUSR2 frees it.
    """

    def __init__(self, plan: CostsPlan) -> None:
        self._plan = plan
        self._point = FaultPoint(plan.point, plan.passages)
        self._journal = FaultyJournal(plan.journal, self._point)
        clock = BookingClock(self._journal.last_booked_s(), wall=lambda: time.time() + plan.clock_offset_s)
        self._commit_log = CommitLog(self._journal, clock, outbox_grace_s=plan.outbox_grace_s)
        backend = TrpcBackend(url=plan.backend_url, key=plan.backend_key, transformer="superjson", timeout_s=5.0)
        self._flusher = Flusher(
            commit_log=self._commit_log,
            journal=self._journal,
            backend=FaultyBackend(backend, self._point),
            every_s=plan.flush_every_s,
            longest_backoff_s=1.0,
            call_timeout_s=15.0,
            park_after_s=3_600.0,
            clock=clock,
        )
        self._sealer = Sealer(self._commit_log, plan.flush_every_s, expire_every_s=0.2)
        self._archiver = Archiver(self._commit_log, self._journal, clock, None)
        self._server = TransportServer(self._write, self._commit_log)

    async def run(self) -> None:
        """Serve until SIGTERM; then deliver all costs and close the journal."""
        loop = asyncio.get_running_loop()
        ending = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ending.set)
        tasks = [loop.create_task(part.run()) for part in (self._sealer, self._flusher, self._archiver)]
        for number, full in ((signal.SIGUSR1, True), (signal.SIGUSR2, False)):
            loop.add_signal_handler(number, lambda full=full: tasks.append(loop.create_task(self._set_full(full))))  # type: ignore[misc]
        publish(self._plan.address, await self._server.listen(HOST))
        await ending.wait()
        await self._drain()
        await self._write_counts()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.aclose()
        await self._commit_log.aclose()

    async def _write(self, entries: list[Entry]) -> list[Receipt]:
        receipts = await self._commit_log.write(entries)
        self._point.reach("before acknowledgement")
        asyncio.get_running_loop().call_later(AFTER_REPLY_S, self._point.reach, "after acknowledgement")
        return receipts

    async def _set_full(self, full: bool) -> None:
        await self._commit_log.run_on_journal_thread(lambda: self._journal.set_full(full))

    async def _drain(self) -> None:
        """Wait until every intent is settled, and every window is stored."""
        while await self._commit_log.open_intents():
            await asyncio.sleep(0.1)
        await asyncio.sleep(self._plan.watch_s + 1.0)
        await self._retried(self._commit_log.seal)
        await self._retried(self._flusher.drain)

    async def _retried(self, call: Callable[[], object]) -> None:
        while True:
            try:
                await call()  # type: ignore[misc]
                return
            except RayroomError:
                await asyncio.sleep(0.05)

    async def _write_counts(self) -> None:
        counts = await self._commit_log.run_on_journal_thread(self._journal.sending.counts)
        figures = {**await self._commit_log.metrics(), **asdict(counts), "seal_failures": self._sealer.failures}
        (self._plan.directory / "counts.json").write_text(json.dumps(figures), "utf-8")


def publish(path: Path, address: TransportAddress) -> None:
    """Write the address in one step: a reader never sees half of it."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(address)), "ascii")
    os.replace(draft, path)


async def _serve(plan: CostsPlan) -> None:
    await CostsProcess(plan).run()


def serve_costs(plan: CostsPlan) -> None:
    """Be the process; exit with JOURNAL_BUSY if another one writes the journal."""
    try:
        # A run cannot wait for two minutes after its last kill.
        with patch.object(entry_writer, "WATCH_S", plan.watch_s):
            asyncio.run(_serve(plan))
    except JournalBusy:
        raise SystemExit(JOURNAL_BUSY) from None
