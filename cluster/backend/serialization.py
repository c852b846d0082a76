"""Encode a sealed window as the backend's JSON, and decode a tenant from it."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import structlog

from routing.billing.budgets import known_zone
from routing.errors import BackendRefused
from routing.models import FlushRow, RefusedField, Tenant, TenantAgent
from routing.rooms import read_tenant_agent, read_tenant_tools
from routing.tools.record import TenantTools
from routing.units import NANOUSD_PER_USD

MAX_BUDGET_ALERTS = 20
"""The thresholds of one tenant: each settlement compares its spend with all of them."""

log = structlog.get_logger()


def cost_event(row: FlushRow) -> dict[str, Any]:
    """Return a row as the input of analytics.trackCost.

    `costUsd` is a whole number of nano-dollars: a double of up to 15 digits round-trips it exactly.
    """
    return {
        "tenantId": row.tenant_id,
        "service": row.service,
        "costUsd": row.cost_nanousd / NANOUSD_PER_USD,
        "timestamp": _iso(row.window_end_s),
        "metadata": {
            "flushId": row.flush_id,
            "journalId": row.journal_id,
            "epoch": row.epoch,
            "seq": row.seq,
            "model": row.model,
            "windowStart": _iso(row.window_start_s),
            "windowEnd": _iso(row.window_end_s),
            "requests": row.requests,
            "estimatedRequests": row.estimated_requests,
            "usage": row.usage,
            "costNanousd": str(row.cost_nanousd),
            "cumulativeUsd": row.cumulative_nanousd / NANOUSD_PER_USD,
            "cumulativeNanousd": str(row.cumulative_nanousd),
            "priceVersion": row.price_version,
            "simulated": row.simulated,
        },
    }


def to_tenant(tenant_id: str, data: Any) -> Tenant:
    """Decode the answer of tenants.getById; raises BackendRefused for another tenant or an invalid value."""
    if not isinstance(data, dict) or data.get("id") != tenant_id:
        raise BackendRefused("tenants.getById: the answer is not the requested tenant.")
    rate = _number(data, "requestsPerMinute", minimum=1)
    alerts, wrong_alerts = _budget_alerts(tenant_id, data.get("budgetAlerts"))
    agent, wrong_fields = _agent(tenant_id, data.get("agent"))
    tools, wrong_tools = _tools(tenant_id, data.get("tools"))
    return Tenant(
        tenant_id=tenant_id,
        name=sendable(data.get("name", tenant_id)),
        plan=sendable(data.get("plan", "free")),
        # In a backend without statuses every tenant is active.
        active=data.get("status", "active") == "active",
        budget_nanousd=_amount(data, "monthlyBudgetUsd"),
        requests_per_minute=None if rate is None else int(rate),
        daily_budget_nanousd=_amount(data, "dailyBudgetUsd"),
        room_budget_nanousd=_amount(data, "roomBudgetUsd"),
        time_zone=_time_zone(data.get("timeZone")),
        budget_alerts=alerts,
        agent=agent,
        tools=tools,
        refused=(*wrong_alerts, *wrong_fields, *wrong_tools),
    )


def sendable(value: Any) -> str:
    """Return a value as encodable text: JSON may hold lone surrogates, which UTF-8 cannot encode."""
    return str(value).encode("utf-8", "replace").decode()


def _number(data: dict[str, Any], key: str, minimum: float) -> float | None:
    """Return a number, or None for null. superjson sends a decimal or a bigint as a string of digits."""
    value = data.get(key)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (number >= minimum and math.isfinite(number * NANOUSD_PER_USD)):
        kind = type(value).__name__
        raise BackendRefused(
            f"tenants.getById: {key} must be null or a number of at least {minimum:g}; this {kind} is not."
        )
    return number


def _amount(data: dict[str, Any], key: str) -> int | None:
    """Return an amount in US dollars as nano-dollars, or None for null."""
    usd = _number(data, key, minimum=0)
    return None if usd is None else round(usd * NANOUSD_PER_USD)


def _time_zone(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and known_zone(value):
        return value
    raise BackendRefused("tenants.getById: timeZone must be null or the name of an IANA time zone.")


def _budget_alerts(tenant_id: str, value: Any) -> tuple[tuple[float, ...] | None, tuple[RefusedField, ...]]:
    """Return a tenant's own thresholds, and the field if some of them are wrong: no call is refused for an alert.

    None stands for those of the configuration, and is returned where no threshold is right. An empty list is none.
    """
    if value is None:
        return None, ()
    listed = value if isinstance(value, list) else []
    shares = {share for share in map(_share, listed[:MAX_BUDGET_ALERTS]) if share is not None}
    wrong = [one for one in listed if _share(one) is None] if isinstance(value, list) else [value]
    refused: tuple[RefusedField, ...] = ()
    if wrong or len(listed) > MAX_BUDGET_ALERTS:
        allowed = f"budgetAlerts: a list of up to {MAX_BUDGET_ALERTS} numbers above 0 and at most 1"
        refused = (RefusedField(name="budgetAlerts", problem=f"must be {allowed.partition(': ')[2]}"),)
        shown = [repr(one)[:40] for one in wrong[:MAX_BUDGET_ALERTS]]
        log.warning("budget alerts ignored", tenant=tenant_id, wrong=shown, values=len(listed), allowed=allowed)
    return tuple(sorted(shares)) if shares or value == [] else None, refused


def _agent(tenant_id: str, value: Any) -> tuple[TenantAgent, tuple[RefusedField, ...]]:
    """Return a tenant's agent, and the wrong fields, which are left out: no room goes without an agent for them."""
    agent, refused = read_tenant_agent(value)
    for field in refused:
        log.warning("field of the tenant's agent ignored", tenant=tenant_id, field=field.name, problem=field.problem)
    return agent, refused


def _tools(tenant_id: str, value: Any) -> tuple[TenantTools, tuple[RefusedField, ...]]:
    """Return a tenant's sources of tools without the wrong ones, which are logged, and those."""
    tools, refused = read_tenant_tools(value)
    for field in refused:
        log.warning("tools of the tenant ignored", tenant=tenant_id, field=field.name, problem=field.problem)
    return tools, refused


def _share(value: Any) -> float | None:
    """Return a share above 0 and at most 1, or None. superjson sends a decimal as a string of digits."""
    try:
        share = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        share = math.nan
    return share if 0 < share <= 1 else None


def _iso(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
