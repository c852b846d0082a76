"""Expire and seal on a timer of its own, so that neither ever waits for the backend."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from cluster.costs.commit_log import CommitLog

TICK_S = 1.0

log = structlog.get_logger()


@dataclass
class Sealer:
    """Settle expired intents every second, and seal what is settled every `seal_every_s`."""

    commit_log: CommitLog
    seal_every_s: float
    ticks: int = 0
    failures: int = 0

    async def run(self) -> None:
        """Expire and seal for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.try_once()

    async def try_once(self) -> None:
        """Expire, and seal if that is due. An error is logged and counted: the events are on disk, and wait."""
        self.ticks += 1
        try:
            await self.commit_log.expire()
            if self.ticks * TICK_S % max(self.seal_every_s, TICK_S) < TICK_S:
                await self.commit_log.seal()
        except Exception as error:
            self.failures += 1
            log.error("sealing failed", error=type(error).__name__, failures=self.failures)
