"""A journal, a commit log and a flusher on a clock that a test sets."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.costs.commit_log import CommitLog
from cluster.costs.flusher import CostBackend, Flusher
from cluster.costs.journal import Journal
from cluster.costs.sending import SendingCounts
from tests.support.cost_entries import intent, settlement

PARK_AFTER_S = 3_600.0


@dataclass
class Clock:
    now_s: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FlushBench:
    """Spends and seals without timers; `clock` moves only where a test moves it."""

    clock: Clock
    journal: Journal
    commit_log: CommitLog
    flusher: Flusher
    events: int = 0

    async def spend(self, cost_nanousd: int, tenant_id: str = "acme", model: str = "m") -> None:
        """Spend one amount and seal it into a window of its own."""
        await self.spend_all([(cost_nanousd, tenant_id, model)])

    async def spend_all(self, amounts: Iterable[tuple[int, str, str]]) -> None:
        """Spend amounts of tenants at models, in one commit, and seal them: a window for each tenant and model."""
        intents, settlements = [], []
        for cost_nanousd, tenant_id, model in amounts:
            self.events += 1
            event_id = f"e{self.events}-{self.journal.epoch}"
            intents.append(intent(event_id, tenant_id=tenant_id, model=model))
            settlements.append(settlement(event_id, cost_nanousd))
        await self.commit_log.write(intents)
        await self.commit_log.write(settlements)
        await self.commit_log.seal()

    async def rounds(self, number: int, every_s: float = 60.0) -> None:
        """Send `number` rounds, `every_s` apart."""
        for _ in range(number):
            await self.flusher.try_once()
            self.clock.now_s += every_s

    async def counts(self) -> SendingCounts:
        return await self.commit_log.run_on_journal_thread(self.journal.sending.counts)

    async def sent_nanousd(self, tenant_id: str = "acme") -> int:
        return (await self.commit_log.totals(tenant_id)).sent_nanousd


@asynccontextmanager
async def flush_bench(path: Path, backend: CostBackend, clock: Clock | None = None) -> AsyncIterator[FlushBench]:
    """Yield a bench on the journal at `path`, which may exist already."""
    clock = clock or Clock()
    journal = Journal(path)
    commit_log = CommitLog(journal, clock)
    flusher = Flusher(
        commit_log=commit_log,
        journal=journal,
        backend=backend,
        every_s=10,
        longest_backoff_s=60,
        call_timeout_s=15,
        park_after_s=PARK_AFTER_S,
        clock=clock,
        rng=random.Random(1),
    )
    yield FlushBench(clock, journal, commit_log, flusher)
    await commit_log.aclose()
