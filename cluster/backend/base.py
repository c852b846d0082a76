"""What the company's backend is asked. Knows no wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from routing.models import FlushRow, Passage, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What became of flushed rows: `taken` are stored, now or before; `refused` never will be, with the reason.

    A row in neither is to be sent again as it is.
    """

    taken: frozenset[str]
    refused: dict[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """The company's backend, or SQLite in its place; both pass the same contract tests."""

    async def tenant(self, tenant_id: str) -> Tenant:
        """Raises TenantUnknown or BackendError."""

    async def track_costs(self, rows: Sequence[FlushRow]) -> Tracked:
        """Keep each flush id once, however often it comes; raises BackendError when nothing could be said of any."""

    async def search(self, tenant_id: str, query: str, embedding: Sequence[float], top_k: int) -> tuple[Passage, ...]:
        """Return the tenant's own passages, best first; raises BackendError.

        The backend is asked for one tenant, so a passage that names none is taken as that tenant's.
        """

    async def aclose(self) -> None: ...
