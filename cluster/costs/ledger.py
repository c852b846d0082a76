"""Adds up what each tenant owes and decides whether a new attempt still fits its budget. Knows no disk."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

from routing.errors import BudgetExceeded
from routing.models import Intent


@dataclass(slots=True)
class Account:
    """One tenant's money in nano-dollars: this month's settled spend, and what open intents may still cost."""

    month: str = ""
    spent_nanousd: int = 0
    reserved_nanousd: int = 0

    @property
    def committed_nanousd(self) -> int:
        return self.spent_nanousd + self.reserved_nanousd


@dataclass(slots=True)
class Ledger:
    """Every tenant's account. A budget counts by calendar month, in UTC."""

    accounts: dict[str, Account] = field(default_factory=dict)

    def account(self, tenant_id: str, now_s: float) -> Account:
        """Return the tenant's account, opened anew when the month has turned."""
        account = self.accounts.setdefault(tenant_id, Account())
        if account.month != (month := month_of(now_s)):
            # In this order: `spent_nanousd` may look between the two.
            account.spent_nanousd, account.month = 0, month
        return account

    def spent_nanousd(self, tenant_ids: Iterable[str], now_s: float) -> dict[str, int]:
        """Return what each tenant has spent this month. Changes nothing, so that any thread may ask."""
        month = month_of(now_s)
        found = {tenant_id: self.accounts.get(tenant_id) for tenant_id in tenant_ids}
        return {name: one.spent_nanousd if one and one.month == month else 0 for name, one in found.items()}

    def reserve(self, intent: Intent, now_s: float) -> None:
        """Set the estimate aside; raises BudgetExceeded when it no longer fits."""
        account = self.account(intent.tenant_id, now_s)
        committed = account.committed_nanousd
        if intent.budget_nanousd is not None and committed + intent.estimate_nanousd > intent.budget_nanousd:
            raise BudgetExceeded(
                spent_nanousd=committed, limit_nanousd=intent.budget_nanousd, resets_at=next_month(now_s).isoformat()
            )
        account.reserved_nanousd += intent.estimate_nanousd

    def settle(self, tenant_id: str, estimate_nanousd: int, cost_nanousd: int, now_s: float) -> None:
        """Turn a reservation into spend."""
        account = self.account(tenant_id, now_s)
        account.reserved_nanousd -= estimate_nanousd
        account.spent_nanousd += cost_nanousd


def month_of(now_s: float) -> str:
    return dt.datetime.fromtimestamp(now_s, dt.UTC).strftime("%Y-%m")


def month_start_s(now_s: float) -> float:
    now = dt.datetime.fromtimestamp(now_s, dt.UTC)
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def next_month(now_s: float) -> dt.datetime:
    """Return the moment the budgets of the month that holds `now_s` start again."""
    first = dt.datetime.fromtimestamp(month_start_s(now_s), dt.UTC)
    return (first + dt.timedelta(days=32)).replace(day=1)
