"""Open attempts that a model replica witnesses, and let their time pass."""

from __future__ import annotations

from typing import Any

from cluster.costs.commit_log import CommitLog
from routing.models import TenantTotals
from tests.support.cost_entries import intent
from tests.support.manual_clock import ManualClock

GRACE_S = 30.0
LIFETIME_S = 40.0


async def run_until(commit_log: CommitLog, clock: ManualClock, until_s: float) -> None:
    """Tick as the sealer does."""
    while clock.now_s < until_s:
        clock.now_s = min(until_s, clock.now_s + 1.0)
        await commit_log.expire()


async def open_attempt(commit_log: CommitLog, **changes: Any) -> None:
    await commit_log.write([intent(lifetime_s=LIFETIME_S, witnessed=True, **changes)])


async def expire(commit_log: CommitLog, clock: ManualClock) -> TenantTotals:
    """Let the attempt's lifetime pass; return the totals."""
    await run_until(commit_log, clock, clock.now_s + LIFETIME_S + 1)
    return await commit_log.totals("acme")
