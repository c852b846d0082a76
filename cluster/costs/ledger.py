"""Add up each tenant's spend and reservations, and refuse a reservation that exceeds a budget. In memory only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.costs.models import BudgetAlert, SettledIntent
from routing.billing.budgets import BudgetKind, amount_of, budgets_of, day_of, resets_at
from routing.errors import BudgetExceeded
from routing.models import Intent, Spending

NEARLY_SPENT = 0.95
"""A budget counts as reached when it refuses a request with so much of it spent: its very end is never spent."""

AccountKey = tuple[str, str]
"""A tenant's id and a room; the room is empty for the account of the tenant itself."""


@dataclass(slots=True)
class Account:
    """The money of a tenant or of one room: the spend of its month and day, and the estimates of its open intents."""

    zone: str = ""
    """The time zone in which its days and months begin."""
    day: str = ""
    month_nanousd: int = 0
    day_nanousd: int = 0
    reserved_nanousd: int = 0
    limits: Mapping[BudgetKind, int] = field(default_factory=dict)
    """The tenant's budgets, as its last request had them."""

    def spent(self, now_s: float) -> tuple[int, int]:
        """Return the spend of the present month and day; changes nothing, so any thread may call it."""
        today = day_of(now_s, self.zone)
        same_month = self.day[:7] == today[:7]
        return self.month_nanousd if same_month else 0, self.day_nanousd if self.day == today else 0

    def turn(self, now_s: float) -> None:
        """Begin a new day, and a new month, with nothing spent. Reservations carry over."""
        if self.day != (today := day_of(now_s, self.zone)):
            # Spend first, day second: `spent` runs on another thread and may read between the two.
            self.month_nanousd, self.day_nanousd = self.spent(now_s)
            self.day = today

    def add(self, settled: SettledIntent) -> None:
        """Release a reservation, and add the cost to the month and the day if it is booked in them."""
        self.reserved_nanousd -= settled.released_nanousd
        booked = day_of(settled.booked_at_s, self.zone)
        # A better figure for an event of the last month, which is in no window yet, changes the last month's spend.
        self.month_nanousd += settled.added_nanousd if booked[:7] == self.day[:7] else 0
        self.day_nanousd += settled.added_nanousd if booked == self.day else 0


@dataclass(slots=True)
class Ledger:
    """The accounts of every tenant, and of each room that spent today."""

    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    thresholds: Sequence[float] = ()
    """The shares of a budget that raise an alert."""
    changed: set[AccountKey] = field(default_factory=set)
    """The accounts that changed since they were last written."""
    alerts: list[BudgetAlert] = field(default_factory=list)
    """Those raised since they were last written; the table keeps each once."""

    def spent_nanousd(self, tenant_ids: Iterable[str], now_s: float) -> dict[str, int]:
        """Return each tenant's spend this month; any thread may call it."""
        return {tenant_id: self.spent(tenant_id, "", now_s).month_nanousd for tenant_id in tenant_ids}

    def spent(self, tenant_id: str, room: str, now_s: float) -> Spending:
        """Return the spend of a tenant and of a room, without reservations. Any thread may call it."""
        month, day = self.accounts.get((tenant_id, ""), Account()).spent(now_s)
        _, room_day = self.accounts.get((tenant_id, room), Account()).spent(now_s) if room else (0, 0)
        return Spending(month_nanousd=month, day_nanousd=day, room_nanousd=room_day)

    def committed(self, tenant_id: str, room: str, now_s: float) -> Spending:
        """Return the spend and the reservations of a tenant and of a room."""
        spent = self.spent(tenant_id, room, now_s)
        reserved = self._account(tenant_id, "", now_s).reserved_nanousd
        return Spending(
            month_nanousd=spent.month_nanousd + reserved,
            day_nanousd=spent.day_nanousd + reserved,
            room_nanousd=spent.room_nanousd + (self._account(tenant_id, room, now_s).reserved_nanousd if room else 0),
        )

    def reserve(self, intent: Intent, now_s: float) -> None:
        """Reserve the estimate.

        Raises BudgetExceeded, naming the budget that resets last, when the spend, the reservations and it exceed any.
        """
        tenant = self._account(intent.tenant_id, "", now_s, intent.time_zone)
        limits = budgets_of(intent)
        if limits or intent.job_id is not None:
            # Speech that is spent already comes without a job and without budgets.
            tenant.limits = limits
        committed = self.committed(intent.tenant_id, intent.room, now_s) if limits else Spending()
        for kind, limit in limits.items():
            if amount_of(committed, kind) + intent.estimate_nanousd > limit:
                self._raise_alerts(intent.tenant_id, tenant, now_s, refused=kind)
                raise _exceeded(kind, limit, amount_of(committed, kind), intent, resets_at(now_s, kind, tenant.zone))
        self.reserve_spent(intent, now_s)

    def reserve_spent(self, intent: Intent, now_s: float) -> None:
        """Reserve the estimate of an intent whose settlement is here already: its money may exceed the budget."""
        zone = self._account(intent.tenant_id, "", now_s, intent.time_zone).zone
        for room in _rooms(intent.room):
            self._account(intent.tenant_id, room, now_s, zone).reserved_nanousd += intent.estimate_nanousd
            self.changed.add((intent.tenant_id, room))

    def settle(self, settled: SettledIntent, now_s: float) -> None:
        """Release a reservation, and add the cost to the present month and day if it is booked in them."""
        tenant = self._account(settled.tenant_id, "", now_s)
        for room in _rooms(settled.room):
            self._account(settled.tenant_id, room, now_s, tenant.zone).add(settled)
            self.changed.add((settled.tenant_id, room))
        self._raise_alerts(settled.tenant_id, tenant, now_s)

    def forget_idle(self, before_day: str) -> None:
        """Forget the accounts of rooms that spent nothing since a day, and have nothing reserved."""
        idle = [
            key
            for key, account in self.accounts.items()
            if key[1] and not account.reserved_nanousd and account.day < before_day
        ]
        for key in idle:
            del self.accounts[key]
            self.changed.discard(key)

    def _account(self, tenant_id: str, room: str, now_s: float, zone: str = "") -> Account:
        account = self.accounts.get((tenant_id, room))
        if account is None:
            account = self.accounts[tenant_id, room] = Account(zone)
        account.zone = zone or account.zone
        account.turn(now_s)
        return account

    def _raise_alerts(self, tenant_id: str, account: Account, now_s: float, refused: BudgetKind | None = None) -> None:
        """Add an alert for each threshold that the spend has reached; the table ignores one that it has."""
        for kind, limit in account.limits.items():
            if kind == "room":
                continue
            spent = account.month_nanousd if kind == "monthly" else account.day_nanousd
            reached = max(spent, limit) if kind == refused and spent >= NEARLY_SPENT * limit else spent
            for threshold in self.thresholds:
                if reached >= threshold * limit:
                    period = account.day[:7] if kind == "monthly" else account.day
                    self.alerts.append(
                        BudgetAlert(
                            tenant_id=tenant_id,
                            budget=kind,
                            period=period,
                            threshold=threshold,
                            spent_nanousd=spent,
                            limit_nanousd=limit,
                            raised_at_s=now_s,
                        )
                    )


def _rooms(room: str) -> tuple[str, ...]:
    """Return the rooms of the accounts that an event counts in: the tenant's own, and its room's."""
    return ("", room) if room else ("",)


def _exceeded(
    kind: BudgetKind, limit_nanousd: int, committed_nanousd: int, intent: Intent, resets: dt.datetime
) -> BudgetExceeded:
    return BudgetExceeded(
        budget=kind,
        estimate_nanousd=intent.estimate_nanousd,
        remaining_nanousd=max(0, limit_nanousd - committed_nanousd),
        spent_nanousd=committed_nanousd,
        limit_nanousd=limit_nanousd,
        resets_at=resets.isoformat(),
    )
