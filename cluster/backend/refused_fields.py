"""Tell the backend which fields of a tenant's agent were left out, at most once an hour for the same ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from cachetools import TTLCache

from routing.errors import BackendError
from routing.models import RefusedField, RefusedSource

REPORT_REFUSED = "tenants.reportRefused"
EVERY_S = 3_600.0
MAX_REMEMBERED = 10_000
MAX_SENDING = 16
TIMEOUT_S = 10.0

log = structlog.get_logger()

Send = Callable[[dict[str, Any]], Awaitable[None]]
"""Sends the input of tenants.reportRefused; raises BackendError."""


class RefusedFieldReports:
    """The reports of one process. A failed report is logged; the next reading of the same fields sends it again."""

    def __init__(self, send: Send, clock: Callable[[], float]) -> None:
        self._send = send
        self._reported: TTLCache[str, bool] = TTLCache(MAX_REMEMBERED, EVERY_S, clock)
        self._sending: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """The reports that were not sent because too many were being sent."""

    def report(self, tenant_id: str, source: RefusedSource, fields: Sequence[RefusedField]) -> None:
        """Report the fields in a task of their own, unless they were reported within the hour."""
        value = report_input(tenant_id, source, fields)
        report_id = value["reportId"]
        if report_id in self._reported:
            return
        if len(self._sending) >= MAX_SENDING:
            self.dropped += 1
            return
        self._reported[report_id] = True
        task = asyncio.create_task(self._report(tenant_id, report_id, value), name="refused fields")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _report(self, tenant_id: str, report_id: str, value: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._send(value)
        except (BackendError, TimeoutError) as error:
            self._reported.pop(report_id, None)
            log.warning("refused fields not reported", tenant=tenant_id, error=type(error).__name__)


def report_input(tenant_id: str, source: RefusedSource, fields: Sequence[RefusedField]) -> dict[str, Any]:
    """Return the input of tenants.reportRefused. Its id is the same for the same fields, from every process."""
    rows = [{"field": field.name, "problem": field.problem} for field in fields]
    content = json.dumps([tenant_id, source, rows], sort_keys=True).encode()
    report_id = hashlib.sha256(content).hexdigest()[:32]
    return {"reportId": report_id, "tenantId": tenant_id, "source": source, "fields": rows}
