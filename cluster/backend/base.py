"""The interface of a backend: tenants, cost flushes, knowledge search and the records of meetings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cluster.costs.row_answers import RowAnswer
from routing.models import FlushRow, Passage, Tenant
from routing.records.models import RecordStore


class Backend(RecordStore, Protocol):
    """The company's tRPC backend or the embedded SQLite backend; both pass the same contract tests."""

    async def tenant(self, tenant_id: str) -> Tenant:
        """Return the tenant; raises TenantUnknown or BackendError."""

    async def track_costs(self, rows: Sequence[FlushRow]) -> Mapping[str, RowAnswer]:
        """Store each flush id once, however often it is sent, in one call; return the answer to each flush id.

        Raises CallTooLarge when fewer rows may succeed, and another BackendError when the call fails as a whole.
        """

    async def search(self, tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> tuple[Passage, ...]:
        """Return the tenant's own passages, best first; raises BackendError.

        The request names one tenant, so a passage without a tenant counts as that tenant's.
        """

    async def report_refused(self, value: Mapping[str, Any]) -> None:
        """Send the fields of an agent that were left out; raises BackendError. A backend may ignore them."""

    async def aclose(self) -> None: ...
