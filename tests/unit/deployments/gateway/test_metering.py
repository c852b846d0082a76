"""The meter bounds the tenants that it keeps, and gives each attempt an id of its own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from deployments.gateway import metering
from deployments.gateway.metering import BillingContext, Meter, event_id_of
from routing.catalogue import load_catalogue
from routing.models import Intent, Settlement, Spending, Tenant, TenantTotals, Usage
from tests.support.cost_entries import settlement

ACME = Tenant(tenant_id="acme", name="Acme", plan="pro", active=True, budget_nanousd=100, requests_per_minute=None)


class Costs:
    """Record any entry, with half of `ACME`'s budget spent after it."""

    async def reserve(self, intent: Intent) -> Spending:
        return Spending(month_nanousd=50)

    async def settle(self, settlement: Settlement) -> None: ...

    async def record(self, entries: Sequence[Intent | Settlement]) -> Spending:
        return Spending(month_nanousd=50)

    async def totals(self, tenant_id: str) -> TenantTotals:
        return TenantTotals(
            tenant_id=tenant_id,
            settled_nanousd=50,
            reserved_nanousd=0,
            sent_nanousd=0,
            requests=0,
            estimated_requests=0,
            by_model=(),
        )


async def test_the_budget_of_the_tenant_that_spent_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "MAX_TENANTS", 2)
    meter = Meter(Costs(), load_catalogue(), frozenset(), 10.0, lambda: 0.0)
    assert meter.budget_used(ACME, "") is None
    for name in ("acme", "globex", "acme", "initech"):
        await meter.record_spent(name, [settlement()])
    assert meter.budget_used(ACME, "") == 0.5
    assert meter.budget_used(replace(ACME, tenant_id="globex"), "") is None


def test_the_ids_of_attempts_differ_and_are_ordered_by_time() -> None:
    ids = [event_id_of("r1", 1, 1_796_000_000.0), event_id_of("r0", 2, 1_796_000_000.001), event_id_of("r0", 1, 1.8e9)]
    assert ids == sorted(ids) and len({one[14:] for one in ids}) == 3
    assert {uuid.UUID(one).version for one in ids} == {7} and {uuid.UUID(one).variant for one in ids} == {uuid.RFC_4122}
    assert event_id_of("r1", 1, 1_796_000_000.0) == ids[0]


def test_a_caller_that_repeats_its_request_id_at_one_moment_repeats_no_event() -> None:
    meter = Meter(Costs(), load_catalogue(), frozenset(), 10.0, lambda: 1_796_000_000.0)
    model = load_catalogue().get("gpt-6-luna")
    billing = [BillingContext(tenant=ACME, room="r", service="llm", request_id="mine") for _ in range(2)]
    intents = [meter.attempt(one, model, Usage(input_tokens=1), 1, 30.0).intent for one in billing]
    assert [intent.request_id for intent in intents] == ["mine", "mine"]
    assert intents[0].event_id != intents[1].event_id
