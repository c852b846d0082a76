"""Bills the usage in the journals of dead jobs, when the worker starts and soon after one of its jobs was killed.

The lock of a job is released with its process, so a journal whose lock can be acquired has no job left to report it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterError
from room_agent.usage.events import MAX_EVENTS, UsageEvent
from room_agent.usage.job_file import JournaledJob, lock_dead
from room_agent.usage.journal import SUFFIX, UnbilledUsage, read_journal
from routing.retry import backoff_s

SCAN_EVERY_S = 5.0
MAX_WAIT_S = 120.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbilledJob:
    """A dead job and its unbilled usage."""

    job: JournaledJob
    events: Sequence[UsageEvent]


class UsageRecovery:
    """The recovery of one directory. Two workers may share one: locks and event ids keep each amount billed once."""

    def __init__(self, directory: Path, router_for: Callable[[JournaledJob], RouterClient]) -> None:
        self._directory = directory
        self._router_for = router_for

    async def run(self) -> None:
        """Scan the directory until cancelled, with growing pauses while the router does not bill everything."""
        await recover_for_ever(self.recover, "usage recovery failed")

    async def recover(self) -> bool:
        """Bill every dead job; return whether nothing is left. Unbilled journals stay. Raises OSError."""
        all_billed = True
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            with lock_dead(path) as is_dead:
                if not is_dead:
                    continue
                unbilled = _unbilled_job(await asyncio.to_thread(_read, path), path.stat().st_mtime)
                if unbilled is None or await self._bill_logged(unbilled):
                    path.unlink(missing_ok=True)
                else:
                    all_billed = False
        return all_billed

    async def _bill_logged(self, unbilled: UnbilledJob) -> bool:
        """Return whether all of a dead job's usage was billed. A failure is logged and does not delay other jobs."""
        try:
            return await self._bill(unbilled)
        except RouterError as error:
            log.warning("dead job not billed yet", job=unbilled.job.job_id, detail=error.message)
        except Exception as error:
            log.error("dead job billing failed", job=unbilled.job.job_id, error=type(error).__name__, exc_info=error)
        return False

    async def _bill(self, unbilled: UnbilledJob) -> bool:
        """Report the usage in heartbeats, as the job would have. Its room may be gone: open it for that."""
        router = self._router_for(unbilled.job)
        await router.open()
        pending = {event.id for event in unbilled.events}
        for batch in _batches(unbilled.events):
            pending.difference_update((await router.beat({}, [event.as_json() for event in batch])).settled)
        await router.close()
        estimated = sum(event.estimated for event in unbilled.events)
        log.info("dead job billed", job=unbilled.job.job_id, events=len(unbilled.events), estimated=estimated)
        return not pending


async def recover_for_ever(recover: Callable[[], Awaitable[bool]], failure: str) -> None:
    """Call `recover` until cancelled, with growing pauses while it returns False; log its errors as `failure`."""
    failures = 0
    while True:
        failures = 0 if await _recover_logged(recover, failure) else failures + 1
        await asyncio.sleep(backoff_s(failures + 1, SCAN_EVERY_S, MAX_WAIT_S))


async def _recover_logged(recover: Callable[[], Awaitable[bool]], failure: str) -> bool:
    try:
        return await recover()
    except OSError as error:
        log.error(failure, error=error.strerror)
    except Exception as error:
        log.error(failure, error=type(error).__name__, exc_info=error)
    return False


def _read(path: Path) -> UnbilledUsage:
    with path.open("rb") as file:
        return read_journal(file)


def _unbilled_job(usage: UnbilledUsage, at_s: float) -> UnbilledJob | None:
    if usage.invalid_lines:
        log.warning("usage journal lines invalid", lines=usage.invalid_lines)
    events = usage.events_at(at_s)
    if usage.job is None or not events:
        return None
    return UnbilledJob(job=usage.job, events=events)


def _batches(events: Sequence[UsageEvent]) -> Iterator[Sequence[UsageEvent]]:
    for start in range(0, len(events), MAX_EVENTS):
        yield events[start : start + MAX_EVENTS]
