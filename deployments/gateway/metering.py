"""Price each attempt and record it in the cost journal: an intent before the vendor call, a settlement after it."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

import structlog
from cachetools import FIFOCache

from deployments.providers.base import served_name
from routing.billing.budgets import tightest_budget
from routing.billing.charges import Charge, ReceivedAnswer, Tariff, is_cancelled
from routing.billing.usage_means import UsageHistory
from routing.catalogue import Catalogue, Model
from routing.errors import CostsUnavailable, ProviderError, RayroomError, TenantSuspended
from routing.models import Costs, Intent, Outcome, Service, Settlement, Spending, Tenant, Usage
from routing.ratelimit import RateStanding

MAX_TENANTS = 50_000
"""Beyond so many tenants the one that spent longest ago is forgotten; its next reservation brings it back."""
_EVENTS = uuid.UUID("8f6d2c53-6a0e-5e0b-9a35-7f3f0d6d6c11")
"""The namespace of event ids: one request and one attempt always give the same id, so a resend is billed once."""
NOT_SETTLED = "A vendor was called, but the cost journal did not take the cost in time, so the answer is withheld."
NOT_CALLED = "The cost journal did not answer in time, and no vendor was called."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingContext:
    """The tenant, room and service that a request is billed to."""

    tenant: Tenant
    room: str
    service: Service
    job_id: str | None = None
    room_opened_at_s: float = 0.0
    participant: str = ""
    """The identity of the person whose request it is, such as the sharer of a screen; empty for nobody's."""
    request_id: str = ""
    """The id in the response's header, which the caller may have chosen: for people who look a request up."""
    event_key: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The id from which the events' ids are made: generated here, so that no caller can repeat one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedRequest:
    """A request that its tenant's rate admits: where it is billed, and the tenant's rate after it."""

    billing: BillingContext
    rate: RateStanding | None
    """None for a tenant without a limit."""

    @property
    def tenant_id(self) -> str:
        return self.billing.tenant.tenant_id


def check_active(tenant: Tenant) -> None:
    """Raise TenantSuspended for a tenant that may not cause new costs."""
    if not tenant.active:
        raise TenantSuspended(param="tenant_id")


class Meter:
    """Opens a metered attempt for each vendor call, and remembers the committed costs of each tenant and room."""

    def __init__(
        self,
        costs: Costs,
        catalogue: Catalogue,
        simulated: frozenset[str],
        grace_s: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._costs = costs
        self._catalogue = catalogue
        self._simulated = simulated
        self._grace_s = grace_s
        self._clock = clock
        self.monotonic = monotonic
        self._committed: FIFOCache[str, Spending] = FIFOCache(MAX_TENANTS)
        self._rooms_nanousd: FIFOCache[str, int] = FIFOCache(MAX_TENANTS)
        self._history = UsageHistory()

    def budget_used(self, tenant: Tenant, room: str) -> float | None:
        """Return the share of the tenant's tightest budget that is spent or reserved.

        Returns None for a tenant without budgets, and where this replica has no figure.
        """
        committed = self._committed.get(tenant.tenant_id)
        if committed is None:
            return None
        status = tightest_budget(tenant, replace(committed, room_nanousd=self._rooms_nanousd.get(room, 0)))
        return None if status is None else status.used

    async def record_spent(self, tenant_id: str, entries: Sequence[Intent | Settlement]) -> None:
        """Return once costs that already arose are durable, even over the budget; raises CostsUnavailable."""
        if entries:
            # The entries of a call are one room's.
            room = next((entry.room for entry in entries if isinstance(entry, Intent)), "")
            self._remember_committed(tenant_id, room, await self._costs.record(entries))

    def _remember_committed(self, tenant_id: str, room: str, committed: Spending) -> None:
        self._committed[tenant_id] = committed
        self._rooms_nanousd[room] = committed.room_nanousd

    def simulated(self, model: Model) -> bool:
        return model.vendor in self._simulated

    def served_name(self, model: Model) -> str:
        return served_name(model, self.simulated(model))

    def attempt(
        self,
        billing: BillingContext,
        model: Model,
        most: Usage,
        number: int,
        timeout_s: float,
        service_tier: str | None = None,
    ) -> MeteredAttempt:
        """Return the metering of one attempt, to be entered before the vendor call.

        `most` is the largest possible usage of the request, and the tier is the requested one.
        """
        now_s = self._clock()
        price = self._catalogue.price(model.name, dt.datetime.fromtimestamp(now_s, dt.UTC).date())
        means = self._history.means(model.name, most)
        tariff = Tariff(price=price, most=most, requested_tier=service_tier, means=means)
        intent = Intent(
            event_id=event_id_of(billing.event_key, number, now_s),
            tenant_id=billing.tenant.tenant_id,
            room=billing.room,
            service=billing.service,
            vendor=model.vendor,
            model=self.served_name(model),
            price_version=price.version,
            estimate_nanousd=tariff.reservation_nanousd,
            budget_nanousd=billing.tenant.budget_nanousd,
            daily_budget_nanousd=billing.tenant.daily_budget_nanousd,
            room_budget_nanousd=billing.tenant.room_budget_nanousd,
            time_zone=billing.tenant.time_zone,
            budget_alerts=billing.tenant.budget_alerts,
            simulated=self.simulated(model),
            opened_at_s=now_s,
            lifetime_s=timeout_s + self._grace_s,
            job_id=billing.job_id,
            room_opened_at_s=billing.room_opened_at_s,
            request_id=billing.request_id,
            participant=billing.participant,
            witnessed=True,
        )
        return MeteredAttempt(self, intent, model.name, tariff)

    async def reserve(self, intent: Intent) -> None:
        """Return once the intent is durable; raises BudgetExceeded or CostsUnavailable."""
        self._remember_committed(intent.tenant_id, intent.room, await self._costs.reserve(intent))

    async def settle(self, intent: Intent, outcome: Outcome, charge: Charge) -> None:
        """Return once the settlement is durable; raises CostsUnavailable."""
        await self._costs.settle(
            Settlement(
                event_id=intent.event_id,
                outcome=outcome,
                cost_nanousd=charge.cost_nanousd,
                estimated=charge.estimated,
                usage=charge.usage,
                tenant_id=intent.tenant_id,
            )
        )

    def remember(self, model: str, most: Usage, received: ReceivedAnswer) -> None:
        """Remember the usage of a completed answer, for the estimates of later ones."""
        if received.usage is not None:
            self._history.add(model, most, received.text_bytes, received.usage, received.bytes_per_s)


class MeteredAttempt:
    """One attempt's metering: an async context, durable before its body runs and again when it has ended.

    Raises BudgetExceeded or CostsUnavailable on entry, CostsUnavailable on exit.
    """

    def __init__(self, meter: Meter, intent: Intent, model: str, tariff: Tariff) -> None:
        self._meter = meter
        self.intent = intent
        self._model = model
        self._tariff = tariff
        self.received = ReceivedAnswer(meter.monotonic)
        """The caller adds to it all that arrives."""
        self.streamed = False
        """Whether each piece arrives as it is produced: before the first one the model has written nothing."""
        self.cost_nanousd = 0
        self.estimated = False

    async def __aenter__(self) -> MeteredAttempt:
        await self._meter.reserve(self.intent)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        charge, price = self._tariff.charge(self.received, error, self.streamed), self._tariff.price
        if charge.unpriced_unit is not None:
            log.error("unit price missing", model=self._model, unit=charge.unpriced_unit)
        if not price.knows_tier(self.received.service_tier):
            log.warning("service tier without a price billed at the dearest", model=self._model)
        self.cost_nanousd, self.estimated = charge.cost_nanousd, charge.estimated
        if error is None:
            self._meter.remember(self._model, self._tariff.most, self.received)
        try:
            await self._meter.settle(self.intent, _outcome(error), charge)
        except CostsUnavailable as unsettled:
            if isinstance(error, RayroomError) and not isinstance(error, ProviderError):
                raise CostsUnavailable(NOT_CALLED, retry_after_s=unsettled.retry_after_s) from error
            raise CostsUnavailable(NOT_SETTLED, retry_after_s=unsettled.retry_after_s, vendor_called=True) from error


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.OK
    return Outcome.CANCELLED if is_cancelled(error) else Outcome.ERROR


def event_id_of(event_key: str, number: int, at_s: float) -> str:
    """Return the id of a request's attempt: a UUID of version 7, which begins with its time in milliseconds.

    The journal's index grows at its end then. Random ids would change a page of it for each event, twice the bytes of a
    commit. uuid.uuid7 comes with Python 3.14.
    """
    time_bits = (int(1_000 * at_s) & 0xFFFF_FFFF_FFFF) << 80
    own_bits = uuid.uuid5(_EVENTS, f"{event_key}|{number}").int & 0x0FFF_3FFF_FFFF_FFFF_FFFF
    version, variant = 7 << 76, 2 << 62
    return str(uuid.UUID(int=time_bits | version | variant | own_bits))
