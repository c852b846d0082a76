"""Prices every attempt and has it written down: an intent before the vendor is asked, a settlement after."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

import structlog

from deployments.providers.base import served_name
from routing.catalogue import Catalogue, Model, text_tokens
from routing.errors import ConfigurationError, ProviderError, RayroomError
from routing.models import Costs, Delta, Intent, Message, Outcome, Service, Settlement, Tenant, Usage

MAX_TENANTS = 50_000
_EVENTS = uuid.UUID("8f6d2c53-6a0e-5e0b-9a35-7f3f0d6d6c11")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingContext:
    """Who pays for a request, and which request it is. `request_id` is ours, never the caller's."""

    tenant: Tenant
    room: str
    service: Service
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """What a tenant has spent this month, of what it may spend. What is only set aside may come back."""

    spent_nanousd: int
    limit_nanousd: int


def budget_of(tenant: Tenant, spent_nanousd: int | None) -> BudgetStatus | None:
    """Return how a tenant's budget stands; None where it has none, or nobody knows what is spent of it."""
    if tenant.budget_nanousd is None or spent_nanousd is None:
        return None
    return BudgetStatus(spent_nanousd=spent_nanousd, limit_nanousd=tenant.budget_nanousd)


class Meter:
    """Opens a leg for each attempt, and remembers what the journal last said of each tenant's month."""

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
        self._committed_nanousd: dict[str, int] = {}

    def budget_used(self, tenant: Tenant) -> float | None:
        """Return which part of the tenant's budget is spent or set aside, as far as this replica knows."""
        if tenant.budget_nanousd is None or tenant.tenant_id not in self._committed_nanousd:
            return None
        return self._committed_nanousd[tenant.tenant_id] / max(tenant.budget_nanousd, 1)

    async def spent(self, tenant_id: str, entries: Sequence[Intent | Settlement]) -> None:
        """Return once what a tenant has spent already is durable, whatever its budget; raises CostsUnavailable."""
        if entries:
            self._committed(tenant_id, await self._costs.record(entries))

    def simulated(self, model: Model) -> bool:
        return model.vendor in self._simulated

    def served_name(self, model: Model) -> str:
        return served_name(model, self.simulated(model))

    def leg(
        self, payer: BillingContext, model: Model, estimate: Usage, attempt: int, timeout_s: float
    ) -> MeteredAttempt:
        """Return the bill of one attempt, to be entered before the vendor is asked."""
        now_s = self._clock()
        price = self._catalogue.price(model.name, dt.datetime.fromtimestamp(now_s, dt.UTC).date())
        intent = Intent(
            event_id=str(uuid.uuid5(_EVENTS, f"{payer.request_id}|{attempt}")),
            tenant_id=payer.tenant.tenant_id,
            room=payer.room,
            service=payer.service,
            vendor=model.vendor,
            model=self.served_name(model),
            price_version=price.version,
            estimate_nanousd=price.cost_nanousd(estimate),
            budget_nanousd=payer.tenant.budget_nanousd,
            simulated=self.simulated(model),
            opened_at_s=now_s,
            expires_at_s=now_s + timeout_s + self._grace_s,
        )
        return MeteredAttempt(self._costs, intent, estimate, price.cost_nanousd, self._clock, self._committed)

    def _committed(self, tenant_id: str, nanousd: int) -> None:
        self._committed_nanousd.pop(tenant_id, None)
        self._committed_nanousd[tenant_id] = nanousd
        if len(self._committed_nanousd) > MAX_TENANTS:
            del self._committed_nanousd[next(iter(self._committed_nanousd))]


class MeteredAttempt:
    """One attempt's bill: an async context that is durable before its body runs and again when it has ended.

    Raises BudgetExceeded or CostsUnavailable on entry, CostsUnavailable on exit.
    """

    def __init__(
        self,
        costs: Costs,
        intent: Intent,
        estimate: Usage,
        price: Callable[[Usage], int],
        clock: Callable[[], float],
        committed: Callable[[str, int], None],
    ) -> None:
        self._costs = costs
        self._committed = committed
        self._intent = intent
        self._estimate = estimate
        self._price = price
        self._clock = clock
        self._usage: Usage | None = None
        self._said: list[str] = []
        self._finished = False
        self._tells_all = False
        self.cost_nanousd = 0

    def answered(self, usage: Usage | None, text: str = "") -> None:
        """Take note of a whole answer: its usage, None where the vendor did not tell, and its text."""
        self._usage, self._finished = usage, True
        self._said.append(text)

    def tells_all(self) -> None:
        """Take note that the answer is told as it is made, unthought: while nothing was heard, nothing was made."""
        self._tells_all = True

    def heard(self, delta: Delta) -> None:
        """Take note of a piece of a streamed answer."""
        self._said.append(delta.text)
        if delta.finish is not None:
            self.answered(delta.usage)

    async def __aenter__(self) -> MeteredAttempt:
        self._committed(self._intent.tenant_id, await self._costs.reserve(self._intent))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        usage, estimated = self._charged(error)
        try:
            self.cost_nanousd = self._price(usage)
        except ConfigurationError as unpriced:
            # The vendor told a unit that has no price here: its answer is good, and the reservation stands for it.
            log.error("unit without a price", model=self._intent.model, unit=unpriced.param)
            self.cost_nanousd, estimated = self._intent.estimate_nanousd, True
        await self._costs.settle(
            Settlement(
                event_id=self._intent.event_id,
                outcome=_outcome(error),
                cost_nanousd=self.cost_nanousd,
                estimated=estimated,
                usage=usage,
                settled_at_s=self._clock(),
            )
        )

    def _charged(self, error: BaseException | None) -> tuple[Usage, bool]:
        """Return what to bill, and whether it is an estimate: unknown usage is estimated, never zero."""
        if self._usage is not None:
            return self._usage, False
        if self._finished or any(self._said):
            said = text_tokens([Message(role="assistant", text="".join(self._said))])
            # No vendor gives more than was asked for, and vectors are no tokens at all.
            return replace(self._estimate, output_tokens=min(said, self._estimate.output_tokens)), True
        if error is not None and _left(error) and self._tells_all:
            return replace(self._estimate, output_tokens=0), True
        free = isinstance(error, RayroomError) and not (isinstance(error, ProviderError) and error.billable)
        # What is no error of ours, a caller who left or a bug, may have come at any moment: it is never free.
        return (Usage(), False) if free else (self._estimate, True)


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.OK
    return Outcome.CANCELLED if _left(error) else Outcome.ERROR


def _left(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError | GeneratorExit)
