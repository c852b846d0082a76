"""Merge the write-ahead log into the journal's file on another thread than the one that commits."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass

import structlog

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal

EVERY_S = 1.0

log = structlog.get_logger()


@dataclass
class Checkpointer:
    """Checkpoint every second, so that no commit has to: within a commit it would take as long as three others.

    The bulk is merged while commits go on. The rest of it takes one short turn of the journal's thread, since the log
    starts again at its beginning only after a moment in which everything is merged.
    """

    commit_log: CommitLog
    journal: Journal
    failures: int = 0

    async def run(self) -> None:
        """Checkpoint for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.try_once()

    async def try_once(self) -> None:
        """Checkpoint once. An error is logged and counted: the log grows until a later round."""
        try:
            if await asyncio.to_thread(self._merge):
                await self.commit_log.run_on_journal_thread(self.journal.checkpoint)
        except Exception as error:
            self.failures += 1
            log.error("checkpoint failed", error=type(error).__name__, failures=self.failures)

    def _merge(self) -> bool:
        """Merge what is committed by now; return whether there was anything."""
        with closing(sqlite3.connect(self.journal.path)) as db:
            _, logged, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(logged > 0)
