"""A tenant's budgets: a month, a day, and one room's day, each of the tenant's own calendar."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from routing.models import Spending, Tenant

BudgetKind = Literal["monthly", "daily", "room"]
KINDS: tuple[BudgetKind, ...] = ("monthly", "daily", "room")
QUARTER_S = 900
"""Every offset of a time zone, and every change of it, is a multiple of a quarter of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """One budget of a tenant: its limit, and what it has spent of it."""

    spent_nanousd: int
    limit_nanousd: int
    kind: BudgetKind = "monthly"

    @property
    def used(self) -> float:
        return self.spent_nanousd / max(self.limit_nanousd, 1)


def tightest_budget(tenant: Tenant, spending: Spending) -> BudgetStatus | None:
    """Return the budget of which the greatest share is used; None for a tenant without budgets."""
    limits = (tenant.budget_nanousd, tenant.daily_budget_nanousd, tenant.room_budget_nanousd)
    amounts = (spending.month_nanousd, spending.day_nanousd, spending.room_nanousd)
    statuses = [
        BudgetStatus(kind=kind, spent_nanousd=amount, limit_nanousd=limit)
        for kind, amount, limit in zip(KINDS, amounts, limits, strict=True)
        if limit is not None
    ]
    return max(statuses, key=lambda status: status.used, default=None)


def known_zone(name: str) -> bool:
    """Return whether a name is of the IANA time zone database, as this machine has it."""
    try:
        ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        return False
    return True


def day_of(now_s: float, zone: str = "") -> str:
    """Return the day of a UNIX time in a time zone, as YYYY-MM-DD. An unknown zone, or none, is UTC."""
    return _day_of_quarter(int(now_s // QUARTER_S), zone)


# Every entry needs its day several times, and formatting it would be a tenth of the entry's CPU time.
@lru_cache(maxsize=4_096)
def _day_of_quarter(quarter: int, zone: str) -> str:
    return dt.datetime.fromtimestamp(quarter * QUARTER_S, zone_info(zone)).date().isoformat()


@lru_cache(maxsize=1_024)
def zone_info(name: str) -> dt.tzinfo:
    """Return a time zone by its name. An unknown one, or none, is UTC."""
    return ZoneInfo(name) if name and known_zone(name) else dt.UTC


def month_start_s(now_s: float, zone: str = "") -> float:
    """Return the UNIX time at which the month of `now_s` began."""
    return _local(now_s, zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def resets_at(now_s: float, kind: BudgetKind, zone: str = "") -> dt.datetime:
    """Return when a budget begins anew: at the start of the tenant's next month or day."""
    midnight = _local(now_s, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind == "monthly":
        return (midnight.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return midnight + dt.timedelta(days=1)


def _local(now_s: float, zone: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(now_s, zone_info(zone))
