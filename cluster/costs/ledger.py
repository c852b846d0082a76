"""Add up each tenant's spend and reservations, and refuse a reservation that exceeds the budget. In memory only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from cluster.costs.models import SettledIntent
from routing.errors import BudgetExceeded
from routing.models import Intent

DAY_S = 86_400


@dataclass(slots=True)
class Account:
    """One tenant's money in nano-dollars: the spend settled this month, and the estimates of its open intents."""

    month: str = ""
    spent_nanousd: int = 0
    reserved_nanousd: int = 0

    @property
    def committed_nanousd(self) -> int:
        return self.spent_nanousd + self.reserved_nanousd


@dataclass(slots=True)
class Ledger:
    """Every tenant's account. A budget covers one calendar month, in UTC."""

    accounts: dict[str, Account] = field(default_factory=dict)

    def account(self, tenant_id: str, now_s: float) -> Account:
        """Return the tenant's account. The first access of a month resets its spend; reservations carry over."""
        account = self.accounts.setdefault(tenant_id, Account())
        if account.month != (month := month_of(now_s)):
            # Spend first, month second: `spent_nanousd` runs on another thread and may read between the two.
            account.spent_nanousd, account.month = 0, month
        return account

    def spent_nanousd(self, tenant_ids: Iterable[str], now_s: float) -> dict[str, int]:
        """Return each tenant's spend this month. Changes nothing, so any thread may call it."""
        month = month_of(now_s)
        accounts = {tenant_id: self.accounts.get(tenant_id) for tenant_id in tenant_ids}
        return {
            name: account.spent_nanousd if account and account.month == month else 0
            for name, account in accounts.items()
        }

    def reserve(self, intent: Intent, now_s: float) -> None:
        """Reserve the estimate; raises BudgetExceeded when spend, reservations and it exceed the budget."""
        account = self.account(intent.tenant_id, now_s)
        committed = account.committed_nanousd
        if intent.budget_nanousd is not None and committed + intent.estimate_nanousd > intent.budget_nanousd:
            raise BudgetExceeded(
                estimate_nanousd=intent.estimate_nanousd,
                remaining_nanousd=max(0, intent.budget_nanousd - committed),
                spent_nanousd=committed,
                limit_nanousd=intent.budget_nanousd,
                resets_at=next_month(now_s).isoformat(),
            )
        account.reserved_nanousd += intent.estimate_nanousd

    def reserve_spent(self, intent: Intent, now_s: float) -> None:
        """Reserve the estimate of an intent whose settlement is here already: its money may exceed the budget."""
        self.account(intent.tenant_id, now_s).reserved_nanousd += intent.estimate_nanousd

    def settle(self, settled: SettledIntent, now_s: float) -> None:
        """Release a reservation, and add the cost to the spend of this month if it is booked in it."""
        account = self.account(settled.tenant_id, now_s)
        account.reserved_nanousd -= settled.released_nanousd
        # A better figure for an event of the last month, which is in no window yet, changes the last month's spend.
        if month_of(settled.booked_at_s) == account.month:
            account.spent_nanousd += settled.added_nanousd


def month_of(now_s: float) -> str:
    """Return the UTC month of a UNIX time, as YYYY-MM."""
    return _month_of_day(int(now_s // DAY_S))


# Every entry needs its month several times, and formatting it would be a tenth of the entry's CPU time.
@lru_cache(maxsize=64)
def _month_of_day(day: int) -> str:
    return dt.datetime.fromtimestamp(day * DAY_S, dt.UTC).strftime("%Y-%m")


def month_start_s(now_s: float) -> float:
    """Return the UNIX time at which the UTC month of `now_s` began."""
    now = dt.datetime.fromtimestamp(now_s, dt.UTC)
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def next_month(now_s: float) -> dt.datetime:
    """Return the start of the UTC month after `now_s`: budgets reset then."""
    first = dt.datetime.fromtimestamp(month_start_s(now_s), dt.UTC)
    return (first + dt.timedelta(days=32)).replace(day=1)
