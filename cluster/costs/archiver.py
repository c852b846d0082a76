"""Move what is sealed and sent to the month files on a timer, and compress and delete old months."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import KEPT_S, Journal
from cluster.costs.journal_reader import month_number
from cluster.costs.storage.month_files import MonthFiles

EVERY_S = 60.0
PAUSE_S = 0.02
"""Between two slices, so that moving a long backlog takes a share of the journal's thread and not all of it."""

log = structlog.get_logger()


@dataclass
class Archiver:
    """Keep the journal's own file small: copying runs on a thread of its own, deleting in slices on the journal's."""

    commit_log: CommitLog
    journal: Journal
    clock: Callable[[], float]
    retain_months: int | None = None
    """Month files are deleted as many months after their month; None keeps them for ever."""
    failures: int = 0

    async def run(self) -> None:
        """Archive for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.try_once()

    async def try_once(self) -> None:
        """Archive what is due. An error is logged and counted: the journal still holds what was not moved."""
        try:
            await self.archive()
        except Exception as error:
            self.failures += 1
            log.error("archiving failed", error=type(error).__name__, failures=self.failures)

    async def archive(self) -> None:
        """Move events and acknowledged windows to month files, then compress and delete old files."""
        months, before_s = MonthFiles(self.journal.path), self.clock() - KEPT_S
        on_thread = self.commit_log.run_on_journal_thread
        while (last := await asyncio.to_thread(months.copy_events, before_s)) is not None:
            await on_thread(lambda last=last: self.journal.drop_events(last))  # type: ignore[misc]
            await asyncio.sleep(PAUSE_S)
        while windows := await asyncio.to_thread(months.copy_windows, before_s):
            await on_thread(lambda windows=windows: self.journal.drop_windows(windows))  # type: ignore[misc]
            await asyncio.sleep(PAUSE_S)
        await asyncio.to_thread(self._tidy, months)

    def _tidy(self, months: MonthFiles) -> None:
        month_now = month_number(self.clock())
        for path in months.compress(month_now):
            log.info("month compressed", file=path.name)
        for path in months.delete_before(month_now, self.retain_months) if self.retain_months else ():
            log.info("month deleted", file=path.name)
