"""The interface of a backend: tenants, cost flushes and knowledge search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cluster.costs.models import FlushResult
from routing.models import FlushRow, Passage, Tenant


class Backend(Protocol):
    """The company's tRPC backend or the embedded SQLite backend; both pass the same contract tests."""

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant; raises TenantUnknown or BackendError."""

    async def track_costs(self, rows: Sequence[FlushRow]) -> FlushResult:
        """Store each flush id once, however often it is sent; raises BackendError when no row's outcome is known."""

    async def search(self, tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> tuple[Passage, ...]:
        """Return the tenant's own passages, best first; raises BackendError.

        The request names one tenant, so a passage without a tenant counts as that tenant's.
        """

    async def aclose(self) -> None: ...
