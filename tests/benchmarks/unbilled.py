"""The application without billing, to measure the cost of billing. For benchmarks only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.serve import Application

from cluster import app
from cluster.backend.factory import CachedDirectory
from routing.billing.bill import BillPage, BillQuery, Key
from routing.models import Intent, RoomHeartbeat, Settlement, TenantTotals


class Unbilled:
    """An aggregator client that records nothing."""

    def __init__(self, *_: object) -> None: ...

    async def ready(self) -> None: ...

    async def reserve(self, intent: Intent) -> int:
        return 0

    async def settle(self, settlement: Settlement) -> None: ...

    async def record(self, entries: Sequence[Intent | Settlement]) -> int:
        return 0

    async def totals(self, tenant_id: str) -> TenantTotals:
        return TenantTotals(
            tenant_id=tenant_id,
            settled_nanousd=0,
            reserved_nanousd=0,
            sent_nanousd=0,
            requests=0,
            estimated_requests=0,
            by_model=(),
        )

    async def bill(self, query: BillQuery, after: Key, limit: int) -> BillPage:
        return BillPage(rows=(), next_key=None)

    async def beat(self, heartbeat: RoomHeartbeat) -> int:
        return 0

    async def close(self, room: str, job_id: str, opened_at_s: float) -> None: ...

    async def of(self, tenant_id: str) -> tuple[RoomHeartbeat, ...]:
        return ()

    async def aclose(self) -> None: ...


def build(args: dict[str, Any]) -> Application:
    """Return the application without an aggregator."""
    app.AggregatorClient = Unbilled  # type: ignore[assignment,attr-defined]
    assert CachedDirectory is app.CachedDirectory  # type: ignore[attr-defined]
    return app.build(args)
