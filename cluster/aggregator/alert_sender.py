"""Deliver the budget alerts that the journal holds, each until its webhook accepts it."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import structlog

from cluster.costs.commit_log import CommitLog
from cluster.costs.journal import Journal
from cluster.costs.storage.alert_table import DueAlert
from routing.errors import RayroomError
from routing.retry import backoff_s

EVERY_S = 5.0
ALERTS_A_ROUND = 50
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 600.0
GIVEN_UP_AFTER_S = 3 * 86_400.0
"""An alert that is days late tells nothing that the bill does not show."""
FAILURES_A_ROUND = 3
"""After so many failures in a row the round ends: the webhook is down."""

log = structlog.get_logger()


class AlertReceiver(Protocol):
    """The webhook."""

    async def deliver(self, message_id: str, message: dict[str, Any], now_s: float) -> None: ...


@dataclass
class AlertSender:
    """Send each stored alert at least once, always under the same id. Without a webhook an alert is a line of the log.

    The journal adds alerts in the transaction that reaches a threshold, so that no restart loses or repeats one. Only a
    crash between a delivery and its record repeats the delivery, under the id that the receiver has.
    """

    commit_log: CommitLog
    journal: Journal
    webhook: AlertReceiver | None
    clock: Callable[[], float]
    wall: Callable[[], float] = time.time
    """Receivers compare the time of a signature with their own."""
    given_up: int = 0

    async def run(self) -> None:
        """Send for ever. An error is logged: the alerts stay in the journal."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.send_due()
            except Exception as error:
                log.error("budget alerts failed", error=type(error).__name__)

    async def send_due(self) -> None:
        """Send the alerts that are due, the longest waiting first."""
        failures = 0
        for due in await self._on_thread(lambda: self.journal.alerts.due(self.clock(), ALERTS_A_ROUND)):
            failures = 0 if await self._sent(due) else failures + 1
            if failures == FAILURES_A_ROUND:
                return

    async def unsent(self) -> int:
        return int(await self._on_thread(self.journal.alerts.unsent))

    async def _sent(self, due: DueAlert) -> bool:
        now_s = self.clock()
        try:
            if self.webhook is None:
                log.warning("budget threshold reached", **asdict(due.alert))
            else:
                await self.webhook.deliver(due.alert_id, message_of(due), self.wall())
        except RayroomError as error:
            log.warning("budget alert failed", alert=due.alert_id, tries=due.tries + 1, error=error.message)
            if now_s - due.alert.raised_at_s < GIVEN_UP_AFTER_S:
                wait_s = backoff_s(due.tries + 1, FIRST_RETRY_S, LONGEST_RETRY_S)
                await self._write(lambda: self.journal.alerts.retry(due.alert_id, now_s + wait_s))
                return False
            self.given_up += 1
            log.error("budget alert given up", alert=due.alert_id)
        await self._write(lambda: self.journal.alerts.done(due.alert_id, now_s))
        return True

    async def _write(self, change: Callable[[], None]) -> None:
        def transact() -> None:
            with self.journal.transaction():
                change()

        await self._on_thread(transact)

    async def _on_thread(self, call: Callable[[], Any]) -> Any:
        return await self.commit_log.run_on_journal_thread(call)


def message_of(due: DueAlert) -> dict[str, Any]:
    """Return an alert as the webhook's message. Nano-dollars are strings: they may exceed a double's exact integers."""
    alert = due.alert
    return {
        "type": "budget.threshold_reached",
        "timestamp": dt.datetime.fromtimestamp(alert.raised_at_s, dt.UTC).isoformat(timespec="seconds"),
        "data": {
            "id": due.alert_id,
            "tenantId": alert.tenant_id,
            "budget": alert.budget,
            "period": alert.period,
            "threshold": alert.threshold,
            "spentNanousd": str(alert.spent_nanousd),
            "limitNanousd": str(alert.limit_nanousd),
        },
    }
