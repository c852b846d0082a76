"""Add up each tenant's spend and reservations, and refuse a reservation that exceeds a budget. In memory only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.costs.models import BudgetAlert, SettledIntent
from routing.billing.budgets import KINDS, QUARTER_S, BudgetKind, day_of, resets_at
from routing.errors import BudgetExceeded
from routing.models import Intent, Spending

NEARLY_SPENT = 0.95
"""A budget counts as reached when it refuses a request with so much of it spent: its very end is never spent."""

AccountKey = tuple[str, str]
"""A tenant's id and a room; the room is empty for the account of the tenant itself."""
Limits = tuple[int | None, int | None, int | None]
"""The budgets in the order of KINDS."""
NO_LIMITS: Limits = (None, None, None)


@dataclass(slots=True)
class Account:
    """The money of a tenant or of one room: the spend of its month and day, and the estimates of its open intents."""

    zone: str = ""
    """The time zone in which its days and months begin."""
    day: str = ""
    month_nanousd: int = 0
    day_nanousd: int = 0
    reserved_nanousd: int = 0
    limits: Limits = NO_LIMITS
    """The tenant's budgets, as its last request had them."""
    thresholds: tuple[float, ...] | None = None
    """The shares of its budgets that raise an alert, as its last request had them; None for the ledger's."""
    alerted: set[tuple[str, float]] = field(default_factory=set)
    """The periods and thresholds that raised an alert, so that the table is not written for each event after it."""
    turned_in: int = -1
    """The quarter of an hour in which its day was last compared with the clock: no day begins within one."""

    def spent(self, now_s: float) -> tuple[int, int]:
        """Return the spend of the present month and day; changes nothing, so any thread may call it."""
        today = day_of(now_s, self.zone)
        same_month = self.day[:7] == today[:7]
        return self.month_nanousd if same_month else 0, self.day_nanousd if self.day == today else 0

    def turn(self, now_s: float, zone: str) -> bool:
        """Begin a new day, and a new month, with nothing spent. Reservations carry over. Return whether it changed."""
        quarter = int(now_s // QUARTER_S)
        if quarter == self.turned_in and (not zone or zone == self.zone):
            return False
        before = (self.zone, self.day)
        self.zone = zone or self.zone
        if self.day != (today := day_of(now_s, self.zone)):
            # Spend first, day second: `spent` runs on another thread and may read between the two.
            self.month_nanousd, self.day_nanousd = self.spent(now_s)
            self.day = today
            self.alerted = {one for one in self.alerted if one[0] == today[:7]}
        self.turned_in = quarter
        return before != (self.zone, self.day)

    def add(self, settled: SettledIntent, now_s: float) -> None:
        """Release a reservation, and add the cost to the month and the day if it is booked in them."""
        self.reserved_nanousd -= settled.released_nanousd
        booked = self.day if settled.booked_at_s == now_s else day_of(settled.booked_at_s, self.zone)
        # A better figure for an event of the last month, which is in no window yet, changes the last month's spend.
        self.month_nanousd += settled.added_nanousd if booked[:7] == self.day[:7] else 0
        self.day_nanousd += settled.added_nanousd if booked == self.day else 0


_NOTHING = Account()


@dataclass(slots=True)
class Ledger:
    """The accounts of every tenant, and of each room that spent today."""

    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    thresholds: Sequence[float] = ()
    """The shares of a budget that raise an alert, of tenants without their own."""
    changed: set[AccountKey] = field(default_factory=set)
    """The accounts with a new spend or calendar since they were last written. Reservations are not written: the
    open events hold them."""
    alerts: list[BudgetAlert] = field(default_factory=list)
    """Those raised since they were last written; the table keeps each once."""

    def spent(self, tenant_id: str, room: str, now_s: float) -> Spending:
        """Return the spend of a tenant and of a room, without reservations. Any thread may call it."""
        month, day = self.accounts.get((tenant_id, ""), _NOTHING).spent(now_s)
        _, room_day = self.accounts.get((tenant_id, room), _NOTHING).spent(now_s) if room else (0, 0)
        return Spending(month_nanousd=month, day_nanousd=day, room_nanousd=room_day)

    def committed(self, tenant_id: str, room: str, now_s: float) -> Spending:
        """Return the spend and the reservations of a tenant and of a room."""
        return _committed(*self._accounts(tenant_id, room, now_s))

    def reserve(self, intent: Intent, now_s: float) -> Spending:
        """Reserve the estimate; return what is committed then.

        Raises BudgetExceeded, naming the budget that resets last, when the spend, the reservations and it exceed any.
        """
        tenant, room = self._accounts(intent.tenant_id, intent.room, now_s, intent.time_zone)
        limits = (intent.budget_nanousd, intent.daily_budget_nanousd, intent.room_budget_nanousd)
        # Speech that is spent already comes without a job and without budgets: it does not end them.
        if limits != NO_LIMITS or intent.job_id is not None:
            tenant.limits, tenant.thresholds = limits, intent.budget_alerts
            self._check(intent, tenant, room, limits, now_s)
        return _reserve(intent, tenant, room)

    def reserve_spent(self, intent: Intent, now_s: float) -> Spending:
        """Reserve the estimate of an intent whose settlement is here already: its money may exceed the budget."""
        return _reserve(intent, *self._accounts(intent.tenant_id, intent.room, now_s, intent.time_zone))

    def settle(self, settled: SettledIntent, now_s: float) -> Spending:
        """Release a reservation, and add the cost to the month and day it is booked in; return what is committed."""
        tenant, room = self._accounts(settled.tenant_id, settled.room, now_s)
        tenant.add(settled, now_s)
        self.changed.add((settled.tenant_id, ""))
        if room is not tenant:
            room.add(settled, now_s)
            self.changed.add((settled.tenant_id, settled.room))
        if tenant.limits != NO_LIMITS:
            self._raise_alerts(settled.tenant_id, tenant, now_s)
        return _committed(tenant, room)

    def spend_of_month(self, month: str) -> dict[str, int]:
        """Return the spend of each tenant that spent in a month, such as 2026-11."""
        return {
            tenant_id: account.month_nanousd
            for (tenant_id, room), account in self.accounts.items()
            if not room and account.day[:7] == month and account.month_nanousd
        }

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

    def _accounts(self, tenant_id: str, room: str, now_s: float, zone: str = "") -> tuple[Account, Account]:
        """Return the present accounts of a tenant and of a room; without a room both are the tenant's."""
        tenant = self._account((tenant_id, ""), now_s, zone)
        return tenant, self._account((tenant_id, room), now_s, tenant.zone) if room else tenant

    def _account(self, key: AccountKey, now_s: float, zone: str) -> Account:
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account()
        if account.turn(now_s, zone):
            self.changed.add(key)
        return account

    def _check(self, intent: Intent, tenant: Account, room: Account, limits: Limits, now_s: float) -> None:
        committed = _committed(tenant, room)
        amounts = (committed.month_nanousd, committed.day_nanousd, committed.room_nanousd)
        for kind, limit, amount in zip(KINDS, limits, amounts, strict=True):
            if limit is not None and amount + intent.estimate_nanousd > limit:
                self._raise_alerts(intent.tenant_id, tenant, now_s, refused=kind)
                raise _exceeded(kind, limit, amount, intent, resets_at(now_s, kind, tenant.zone))

    def _raise_alerts(self, tenant_id: str, account: Account, now_s: float, refused: BudgetKind | None = None) -> None:
        """Add an alert for each threshold that the spend has reached. A room's budget has none."""
        monthly, daily, _ = account.limits
        if monthly is not None:
            self._alert(tenant_id, account, "monthly", monthly, account.month_nanousd, now_s, refused)
        if daily is not None:
            self._alert(tenant_id, account, "daily", daily, account.day_nanousd, now_s, refused)

    def _alert(
        self,
        tenant_id: str,
        account: Account,
        kind: BudgetKind,
        limit_nanousd: int,
        spent_nanousd: int,
        now_s: float,
        refused: BudgetKind | None,
    ) -> None:
        ended = kind == refused and spent_nanousd >= NEARLY_SPENT * limit_nanousd
        reached = max(spent_nanousd, limit_nanousd) if ended else spent_nanousd
        period = account.day[:7] if kind == "monthly" else account.day
        for threshold in self.thresholds if account.thresholds is None else account.thresholds:
            if reached < threshold * limit_nanousd or (period, threshold) in account.alerted:
                continue
            account.alerted.add((period, threshold))
            self.alerts.append(
                BudgetAlert(
                    tenant_id=tenant_id,
                    budget=kind,
                    period=period,
                    threshold=threshold,
                    spent_nanousd=spent_nanousd,
                    limit_nanousd=limit_nanousd,
                    raised_at_s=now_s,
                )
            )


def _reserve(intent: Intent, tenant: Account, room: Account) -> Spending:
    tenant.reserved_nanousd += intent.estimate_nanousd
    if room is not tenant:
        room.reserved_nanousd += intent.estimate_nanousd
    return _committed(tenant, room)


def _committed(tenant: Account, room: Account) -> Spending:
    """Return the spend and the reservations; without a room both accounts are the tenant's."""
    reserved_nanousd = tenant.reserved_nanousd
    return Spending(
        month_nanousd=tenant.month_nanousd + reserved_nanousd,
        day_nanousd=tenant.day_nanousd + reserved_nanousd,
        room_nanousd=room.day_nanousd + room.reserved_nanousd if room is not tenant else 0,
    )


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
