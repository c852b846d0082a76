"""A backend in memory that stores each flush id once, and fails as a test plans it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cluster.costs.row_answers import CallTooLarge, RowAnswer
from routing.errors import BackendUnavailable
from routing.models import FlushRow

CallFault = Literal["none", "fails before", "loses the reply", "too large", "hangs up"]
RowFault = Literal["none", "fails before", "fails after", "refuses", "forbids"]


@dataclass
class BackendInMemory:
    """`call_faults` are consumed one a call; `row_fault` decides about each row that a call carries."""

    rows: dict[str, FlushRow] = field(default_factory=dict)
    calls: list[list[FlushRow]] = field(default_factory=list)
    call_faults: list[CallFault | Exception] = field(default_factory=list)
    row_fault: Callable[[FlushRow], RowFault] = lambda row: "none"
    most_rows: int = 1_000
    row_s: float = 0.0
    timeout_s: float = 5.0
    """A call of which the rows take longer stores them all, and answers too late."""
    on_call: Callable[[Sequence[FlushRow]], None] = lambda rows: None

    async def track_costs(self, rows: Sequence[FlushRow]) -> dict[str, RowAnswer]:
        self.calls.append(list(rows))
        self.on_call(rows)
        fault = self.call_faults.pop(0) if self.call_faults else "none"
        if isinstance(fault, Exception):
            raise fault
        if fault == "fails before":
            raise BackendUnavailable("failed before")
        if fault == "too large" or len(rows) > self.most_rows:
            raise CallTooLarge()
        answers = {row.flush_id: self._answer(row) for row in rows}
        if fault != "none" or self.row_s * len(rows) > self.timeout_s:
            raise BackendUnavailable("failed after")
        return answers

    def _answer(self, row: FlushRow) -> RowAnswer:
        fault = self.row_fault(row)
        if fault == "refuses":
            return RowAnswer(kind="refused", reason="BAD_REQUEST")
        if fault in ("fails before", "forbids"):
            return RowAnswer(kind="later", reason="FORBIDDEN" if fault == "forbids" else "INTERNAL_SERVER_ERROR")
        is_new = row.flush_id not in self.rows
        self.rows.setdefault(row.flush_id, row)
        if fault == "fails after":
            return RowAnswer(kind="later", reason="INTERNAL_SERVER_ERROR")
        return RowAnswer(kind="inserted" if is_new else "duplicate", reason="" if is_new else "CONFLICT")

    def billed_nanousd(self, tenant_id: str = "acme") -> int:
        return sum(row.cost_nanousd for row in self.rows.values() if row.tenant_id == tenant_id)
