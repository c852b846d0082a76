"""Sends the records that jobs left behind: those of killed jobs, and those that the backend did not take at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterError, RouterRefused
from room_agent.records.sender import Sent, park, send_record
from room_agent.records.spool import PARKED_SUFFIX, SpooledRecord, note, read_spool, spooled_paths
from room_agent.usage.job_file import JournaledJob, lock_dead
from room_agent.usage.recovery import recover_for_ever
from routing.units import DAY_S

RETRY_PARKED_S = 3_600.0
"""A refused record is sent again so often: the backend may have been repaired, or its records deleted."""

log = structlog.get_logger()


class RecordRecovery:
    """The recovery of one directory. Two workers may share one: locks and part ids keep each entry stored once."""

    def __init__(
        self, directory: Path, router_for: Callable[[JournaledJob], RouterClient], clock: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._router_for = router_for
        self._clock = clock

    async def run(self) -> None:
        """Scan the directory until cancelled, with growing pauses while the router does not take everything."""
        await recover_for_ever(self.recover, "record recovery failed")

    async def finish(self, timeout_s: float) -> None:
        """Try once more before the worker ends, and log how many records are left for the next worker."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(timeout_s):
                await self.recover()
        left = await asyncio.to_thread(spooled_paths, self._directory)
        if left:
            log.error("meeting records left unsent", records=len(left))

    async def recover(self) -> bool:
        """Send the record of every ended job; return whether none has to be sent again soon."""
        all_sent = True
        for path in await asyncio.to_thread(spooled_paths, self._directory):
            with lock_dead(path) as is_dead:
                if is_dead and self._is_due(path):
                    all_sent &= await self._recover_logged(path) != "later"
        return all_sent

    def _is_due(self, path: Path) -> bool:
        """Return whether a record is sent now. The last line of a parked one is its refusal."""
        return path.suffix != PARKED_SUFFIX or self._clock() - path.stat().st_mtime >= RETRY_PARKED_S

    async def _recover_logged(self, path: Path) -> Sent:
        """Send a record. A failure is logged and does not delay the records of other jobs."""
        try:
            return await self._recover(path)
        except OSError as error:
            log.error("meeting record recovery failed", file=path.name, error=error.strerror)
        except Exception as error:
            # No traceback: its values may hold entries.
            log.error("meeting record recovery failed", file=path.name, error=type(error).__name__)
        return "later"

    async def _recover(self, path: Path) -> Sent:
        record = await asyncio.to_thread(read_spool, path)
        if record is None:
            log.error("meeting record unreadable, deleted", file=path.name)
            _delete(path)
            return "done"
        if record.invalid_lines:
            log.warning("meeting record lines invalid", job=record.job.job_id, lines=record.invalid_lines)
        sent = await self._send(record)
        if sent == "done":
            _delete(path)
        return sent

    async def _send(self, record: SpooledRecord) -> Sent:
        """Send a record with a token of its own: its room may be closed."""
        if not record.has_end:
            # Before other lines: the time of the last one is that of the job's death.
            await asyncio.to_thread(note, record.path, "ended", record.ended_at_s)
        days = record.header.retention_days
        if days is not None and self._clock() > record.ended_at_s + days * DAY_S:
            log.error("meeting record deleted unsent after its retention", job=record.job.job_id, days=days)
            return "done"
        router = self._router_for(record.job)
        try:
            await router.open()
            sent = await send_record(router, record, self._clock())
        except RouterRefused as error:
            return await park(record, f"HTTP {error.http_status}", self._clock())
        except RouterError as error:
            log.warning("meeting record not sent yet", job=record.job.job_id, detail=error.message)
            return "later"
        with suppress(RouterError):
            await router.close()
        return sent


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
