"""Puts a sealed window into the JSON that the backend takes, and a tenant out of the JSON it gives. Knows no wire."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from routing.errors import BackendRefused
from routing.models import FlushRow, Tenant

NANO = 1_000_000_000


def cost_event(row: FlushRow) -> dict[str, Any]:
    """Return a row as trackCost takes it; dollars are whole nano-dollars, which a double carries exactly."""
    return {
        "tenantId": row.tenant_id,
        "service": row.service,
        "costUsd": row.cost_nanousd / NANO,
        "timestamp": _iso(row.window_end_s),
        "metadata": {
            "flushId": row.flush_id,
            "journalId": row.journal_id,
            "seq": row.seq,
            "model": row.model,
            "windowStart": _iso(row.window_start_s),
            "windowEnd": _iso(row.window_end_s),
            "requests": row.requests,
            "estimatedRequests": row.estimated_requests,
            "usage": row.usage,
            "costNanousd": str(row.cost_nanousd),
            "cumulativeUsd": row.cumulative_nanousd / NANO,
            "cumulativeNanousd": str(row.cumulative_nanousd),
            "priceVersion": row.price_version,
            "simulated": row.simulated,
        },
    }


def to_tenant(tenant_id: str, data: Any) -> Tenant:
    """Return what tenants.getById answered; raises BackendRefused for another tenant or a number that is none."""
    if not isinstance(data, dict) or data.get("id") != tenant_id:
        raise BackendRefused("tenants.getById: the answer is not the tenant that was asked for.")
    budget_usd = _number(data, "monthlyBudgetUsd", least=0)
    rate = _number(data, "requestsPerMinute", least=1)
    return Tenant(
        tenant_id=tenant_id,
        name=sendable(data.get("name", tenant_id)),
        plan=sendable(data.get("plan", "free")),
        # A backend that knows no statuses has only active tenants.
        active=data.get("status", "active") == "active",
        budget_nanousd=None if budget_usd is None else round(budget_usd * NANO),
        requests_per_minute=None if rate is None else int(rate),
    )


def sendable(value: Any) -> str:
    """Return a value as a text that can be sent on: JSON may hold halves of characters, which nothing can encode."""
    return str(value).encode("utf-8", "replace").decode()


def _number(data: dict[str, Any], key: str, least: float) -> float | None:
    """Return a number, or None for null; a decimal or a bigint comes as its digits in a string."""
    value = data.get(key)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (number >= least and math.isfinite(number * NANO)):
        kind = type(value).__name__
        raise BackendRefused(f"tenants.getById: {key} is to be null or a number from {least:g} on; this {kind} is not.")
    return number


def _iso(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
