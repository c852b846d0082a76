"""Price each attempt and record it in the cost journal: an intent before the vendor call, a settlement after it."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

import structlog
from cachetools import FIFOCache

from deployments.providers.base import served_name
from routing.catalogue import Catalogue, Model
from routing.chat import Message, ToolCall, ToolCallDelta
from routing.errors import ConfigurationError, ProviderError, RayroomError, TenantSuspended
from routing.estimates import text_tokens
from routing.models import Costs, Delta, Intent, Outcome, Service, Settlement, Tenant, Usage
from routing.prices import Price
from routing.ratelimit import RateStanding

MAX_TENANTS = 50_000
"""Beyond so many tenants the one that spent longest ago is forgotten; its next reservation brings it back."""
_EVENTS = uuid.UUID("8f6d2c53-6a0e-5e0b-9a35-7f3f0d6d6c11")
"""The namespace of event ids: one request and one attempt always give the same id, so a resend is billed once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingContext:
    """The tenant, room and service that a request is billed to. `request_id` is generated here, never the caller's."""

    tenant: Tenant
    room: str
    service: Service
    job_id: str | None = None
    room_opened_at_s: float = 0.0
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """A tenant's spending this month and its limit. Reservations are left out: they may be released."""

    spent_nanousd: int
    limit_nanousd: int


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


def budget_of(tenant: Tenant, spent_nanousd: int | None) -> BudgetStatus | None:
    """Return a tenant's budget status; None where it has no budget, or its spending is unknown."""
    if tenant.budget_nanousd is None or spent_nanousd is None:
        return None
    return BudgetStatus(spent_nanousd=spent_nanousd, limit_nanousd=tenant.budget_nanousd)


class Meter:
    """Opens a metered attempt for each vendor call, and remembers each tenant's committed costs of the month."""

    def __init__(
        self,
        costs: Costs,
        catalogue: Catalogue,
        simulated: frozenset[str],
        grace_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._costs = costs
        self._catalogue = catalogue
        self._simulated = simulated
        self._grace_s = grace_s
        self._clock = clock
        self._committed_nanousd: FIFOCache[str, int] = FIFOCache(MAX_TENANTS)

    def budget_used(self, tenant: Tenant) -> float | None:
        """Return the share of the tenant's budget that is spent or reserved; None where this replica has no figure."""
        if tenant.budget_nanousd is None or tenant.tenant_id not in self._committed_nanousd:
            return None
        return self._committed_nanousd[tenant.tenant_id] / max(tenant.budget_nanousd, 1)

    async def record_spent(self, tenant_id: str, entries: Sequence[Intent | Settlement]) -> None:
        """Return once costs that already arose are durable, even over the budget; raises CostsUnavailable."""
        if entries:
            self._committed_nanousd[tenant_id] = await self._costs.record(entries)

    def simulated(self, model: Model) -> bool:
        return model.vendor in self._simulated

    def served_name(self, model: Model) -> str:
        return served_name(model, self.simulated(model))

    def attempt(
        self,
        billing: BillingContext,
        model: Model,
        estimate: Usage,
        number: int,
        timeout_s: float,
        service_tier: str | None = None,
    ) -> MeteredAttempt:
        """Return the metering of one attempt, to be entered before the vendor call; the tier is the requested one."""
        now_s = self._clock()
        price = self._catalogue.price(model.name, dt.datetime.fromtimestamp(now_s, dt.UTC).date())
        intent = Intent(
            event_id=str(uuid.uuid5(_EVENTS, f"{billing.request_id}|{number}")),
            tenant_id=billing.tenant.tenant_id,
            room=billing.room,
            service=billing.service,
            vendor=model.vendor,
            model=self.served_name(model),
            price_version=price.version,
            estimate_nanousd=_dearer_nanousd(price, estimate, service_tier),
            budget_nanousd=billing.tenant.budget_nanousd,
            simulated=self.simulated(model),
            opened_at_s=now_s,
            expires_at_s=now_s + timeout_s + self._grace_s,
            job_id=billing.job_id,
            room_opened_at_s=billing.room_opened_at_s,
        )
        return MeteredAttempt(self, intent, estimate, price, service_tier)

    async def reserve(self, intent: Intent) -> None:
        """Return once the intent is durable; raises BudgetExceeded or CostsUnavailable."""
        self._committed_nanousd[intent.tenant_id] = await self._costs.reserve(intent)

    async def settle(self, intent: Intent, outcome: Outcome, cost_nanousd: int, usage: Usage, estimated: bool) -> None:
        """Return once the settlement is durable; raises CostsUnavailable."""
        await self._costs.settle(
            Settlement(
                event_id=intent.event_id,
                outcome=outcome,
                cost_nanousd=cost_nanousd,
                estimated=estimated,
                usage=usage,
                settled_at_s=self._clock(),
            )
        )


class MeteredAttempt:
    """One attempt's metering: an async context, durable before its body runs and again when it has ended.

    Raises BudgetExceeded or CostsUnavailable on entry, CostsUnavailable on exit.
    """

    def __init__(
        self, meter: Meter, intent: Intent, estimate: Usage, price: Price, requested_tier: str | None = None
    ) -> None:
        self._meter = meter
        self._intent = intent
        self._estimate = estimate
        self._price = price
        self._requested_tier = requested_tier
        self._texts: list[str] = []
        self._finished = False
        self._no_thinking = False
        self.usage: Usage | None = None
        """The usage that the vendor reported."""
        self.service_tier: str | None = None
        """The tier that the vendor served, by its own name."""
        self.cost_nanousd = 0

    def record_answer(self, usage: Usage | None, text: str = "", service_tier: str | None = None) -> None:
        """Record a whole answer: all that the model wrote, and its usage, None where the vendor reported none."""
        self.usage, self.service_tier, self._finished = usage, service_tier, True
        self._texts.append(text)

    def record_no_thinking(self) -> None:
        """Record that the model streams each token as it is produced: before the first delta it has produced none."""
        self._no_thinking = True

    def record_delta(self, delta: Delta) -> None:
        """Record a piece of a streamed answer."""
        self._texts.append(delta.text + written_calls(delta.tool_calls))
        if delta.finish is not None:
            self.record_answer(delta.usage, service_tier=delta.service_tier)

    async def __aenter__(self) -> MeteredAttempt:
        await self._meter.reserve(self._intent)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        usage, estimated = self._charged(error)
        try:
            self.cost_nanousd = self._served_nanousd(usage)
        except ConfigurationError as unpriced:
            # The vendor reported a unit without a price here: its answer is good, and is billed at the reservation.
            log.error("unit price missing", model=self._intent.model, unit=unpriced.param)
            self.cost_nanousd, estimated = self._intent.estimate_nanousd, True
        await self._meter.settle(self._intent, _outcome(error), self.cost_nanousd, usage, estimated)

    def _served_nanousd(self, usage: Usage) -> int:
        """Return the price as served: at the tier that the vendor names, else the dearer of standard and requested."""
        if self.service_tier is None:
            return _dearer_nanousd(self._price, usage, self._requested_tier)
        if not self._price.knows_tier(self.service_tier):
            log.warning("service tier without a price billed at the dearest", model=self._intent.model)
        return self._price.cost_nanousd(usage, self.service_tier)

    def _charged(self, error: BaseException | None) -> tuple[Usage, bool]:
        """Return the usage to bill, and whether it is an estimate: unknown usage is estimated, never zero."""
        if self.usage is not None:
            return self.usage, False
        if self._finished or any(self._texts):
            tokens = text_tokens([Message(role="assistant", content=("".join(self._texts),))])
            # How long the model thought is unknown as well. No vendor returns more than the requested maximum, and an
            # embedding has no output tokens.
            output_tokens = min(tokens + self._estimate.thinking_tokens, self._estimate.output_tokens)
            return replace(self._estimate, output_tokens=output_tokens), True
        if error is not None and _cancelled(error) and self._no_thinking:
            return replace(self._estimate, output_tokens=0), True
        free = isinstance(error, RayroomError) and not (isinstance(error, ProviderError) and error.billable)
        # Any other error, a caller that left or a bug, may have come after the vendor's work: it is never free.
        return (Usage(), False) if free else (self._estimate, True)


def written_calls(calls: Iterable[ToolCall | ToolCallDelta]) -> str:
    """Return the part of tool calls that the model wrote, as one text."""
    return "".join(f"{call.name or ''}{call.arguments}" for call in calls)


def _dearer_nanousd(price: Price, usage: Usage, service_tier: str | None) -> int:
    standard_nanousd = price.cost_nanousd(usage)
    return standard_nanousd if service_tier is None else max(standard_nanousd, price.cost_nanousd(usage, service_tier))


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.OK
    return Outcome.CANCELLED if _cancelled(error) else Outcome.ERROR


def _cancelled(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError | GeneratorExit)
