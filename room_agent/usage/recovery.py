"""Bills what the journals of dead jobs hold: at the worker's start, and soon after a job of it was killed.

A job's lock goes with its process, so a journal that can be locked has nobody left who would tell of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from room_agent.core.router_client import HeartbeatResult, OpenedRoom, RouterError
from room_agent.usage.events import MOST_EVENTS, UsageEvent
from room_agent.usage.journal import SUFFIX, JournaledJob, UnbilledUsage, left

LOOK_EVERY_S = 5.0
LONGEST_WAIT_S = 120.0

log = structlog.get_logger()


class RecoveryRouter(Protocol):
    """The router, as far as one dead job's bill needs it."""

    async def open(self) -> OpenedRoom: ...

    async def beat(self, counters: dict[str, float], usage: Sequence[dict[str, object]] = ()) -> HeartbeatResult: ...

    async def close(self) -> None: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbilledJob:
    """What a dead job has used and nobody has told."""

    job: JournaledJob
    events: Sequence[UsageEvent]


class UsageRecovery:
    """One directory's. Two workers may look after the same one: the lock and the events' ids keep the bill right."""

    def __init__(self, directory: Path, router_for: Callable[[JournaledJob], RecoveryRouter]) -> None:
        self._directory = directory
        self._router_for = router_for

    async def run(self) -> None:
        """Look after the directory until cancelled; less often while the router does not take what is owed."""
        wait_s = LOOK_EVERY_S
        while True:
            wait_s = LOOK_EVERY_S if await self._paid() else min(2 * wait_s, LONGEST_WAIT_S)
            await asyncio.sleep(wait_s)

    async def _paid(self) -> bool:
        """Pay; whatever goes wrong with it is told, and it is tried again."""
        try:
            return await self.pay()
        except OSError as error:
            log.error("the usage of dead jobs cannot be read", error=error.strerror)
        except Exception as error:
            log.error("dead jobs are not billed by a fault of ours", error=type(error).__name__, exc_info=error)
        return False

    async def pay(self) -> bool:
        """Bill every dead job; return whether nothing is left. What the router does not take stays. Raises OSError."""
        all_paid = True
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            with _of_the_dead(path) as file:
                if file is None:
                    continue
                debt = _debt(await asyncio.to_thread(left, file), os.fstat(file.fileno()).st_mtime)
                if debt is None or await self._tell(debt):
                    path.unlink(missing_ok=True)
                else:
                    all_paid = False
        return all_paid

    async def _tell(self, debt: UnbilledJob) -> bool:
        """Return whether all of a dead job's usage was taken; one that cannot be told keeps none of the others back."""
        try:
            return await self._bill(debt)
        except RouterError as error:
            log.warning("a dead job's usage is not billed yet", job=debt.job.job_id, detail=error.message)
        except Exception as error:
            told = {"job": debt.job.job_id, "error": type(error).__name__}
            log.error("a dead job's usage is not billed by a fault of ours", **told, exc_info=error)
        return False

    async def _bill(self, debt: UnbilledJob) -> bool:
        """Tell a dead job's usage as the job would have, though its room may be gone; return whether all was taken."""
        router = self._router_for(debt.job)
        try:
            await router.open()
            untold = {event.id: event for event in debt.events}
            for some in _batches(debt.events):
                for taken in (await router.beat({}, [event.as_json() for event in some])).taken:
                    untold.pop(taken, None)
            await router.close()
        finally:
            await router.aclose()
        doubtful = sum(event.estimated for event in debt.events)
        log.info("billed a dead job", job=debt.job.job_id, events=len(debt.events), doubtful=doubtful)
        return not untold


def _debt(found: UnbilledUsage, at_s: float) -> UnbilledJob | None:
    if found.unread:
        log.warning("lines of a job's usage could not be read", lines=found.unread)
    events = found.owed(at_s)
    if found.job is None or not events:
        return None
    return UnbilledJob(job=found.job, events=events)


def _batches(events: Sequence[UsageEvent]) -> Iterator[Sequence[UsageEvent]]:
    for start in range(0, len(events), MOST_EVENTS):
        yield events[start : start + MOST_EVENTS]


@contextmanager
def _of_the_dead(path: Path) -> Iterator[BinaryIO | None]:
    """Yield a journal whose job is dead, and nobody else's until the block ends; None where it is not so."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Another worker may have billed it between the two steps.
        yield file if path.exists() else None
