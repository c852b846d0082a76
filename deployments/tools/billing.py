"""Bill a call of a tool that has a price: reserved before the call leaves, settled before its result does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from deployments.gateway.metering import BillingContext, Meter, event_id_of
from deployments.gateway.metrics import GatewayMetrics
from routing.billing.charges import Charge, is_cancelled
from routing.models import Intent, Outcome
from routing.tools.models import RoomTool

VENDOR = "tenant"
"""The vendor of a tool in the bill: its tenant names the price."""


class ToolBilling:
    """Bills calls at the prices of their tenants' records."""

    def __init__(
        self, meter: Meter, grace_s: float, metrics: GatewayMetrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._meter = meter
        self._grace_s = grace_s
        self._metrics = metrics
        self._clock = clock

    @asynccontextmanager
    async def billed(self, billing: BillingContext, tool: RoomTool, timeout_s: float) -> AsyncIterator[int]:
        """Yield the nano-dollars of the call that the body makes, and return once they are durable.

        A call costs its price once it leaves, whatever comes back: its work may be done. Raises BudgetExceeded before
        the body, and CostsUnavailable.
        """
        if not tool.price_nanousd:
            yield 0
            return
        intent = self._intent(billing, tool, timeout_s)
        await self._meter.reserve(intent)
        outcome = Outcome.OK
        try:
            yield tool.price_nanousd
        except BaseException as error:
            outcome = Outcome.CANCELLED if is_cancelled(error) else Outcome.ERROR
            raise
        finally:
            self._metrics.tool_billed(tool.price_nanousd)
            await self._meter.settle(intent, outcome, Charge(cost_nanousd=tool.price_nanousd))

    def _intent(self, billing: BillingContext, tool: RoomTool, timeout_s: float) -> Intent:
        now_s, tenant = self._clock(), billing.tenant
        return Intent(
            event_id=event_id_of(billing.event_key, 0, now_s),
            tenant_id=tenant.tenant_id,
            room=billing.room,
            service="tools",
            vendor=VENDOR,
            model=tool.name,
            price_version=f"{tool.name}@record",
            estimate_nanousd=tool.price_nanousd,
            budget_nanousd=tenant.budget_nanousd,
            daily_budget_nanousd=tenant.daily_budget_nanousd,
            room_budget_nanousd=tenant.room_budget_nanousd,
            time_zone=tenant.time_zone,
            budget_alerts=tenant.budget_alerts,
            simulated=False,
            opened_at_s=now_s,
            lifetime_s=timeout_s + self._grace_s,
            job_id=billing.job_id,
            room_opened_at_s=billing.room_opened_at_s,
            request_id=billing.request_id,
            participant=billing.participant,
        )
