"""Sum the costs of tenants, and the steps from the cost of every frame to them. Unknown is not zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

CostSteps = tuple[tuple[str, int | None], ...]
"""Steps down, each a name and an amount in nano-dollars."""
_AMOUNTS = ("cost_nanousd", "every_frame_nanousd", "changed_only_nanousd", "changed_small_nanousd")
_KEYS = ("room_hours", "seen", "kept", "answered", *_AMOUNTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSpend:
    """One tenant's row, or the sum of many."""

    name: str
    room_hours: float | None
    seen: int | None
    kept: int | None
    answered: int | None
    cost_nanousd: int | None
    every_frame_nanousd: int | None
    changed_only_nanousd: int | None
    changed_small_nanousd: int | None

    @property
    def answered_small_nanousd(self) -> int | None:
        """Return the cost of the downscaled frames if only the answered ones had been sent."""
        if self.changed_small_nanousd is None or self.answered is None or not self.kept:
            return self.changed_small_nanousd
        return round(self.changed_small_nanousd * self.answered / self.kept)

    @property
    def nanousd_per_room_hour(self) -> float | None:
        return self.cost_nanousd / self.room_hours if self.cost_nanousd is not None and self.room_hours else None

    def cost_steps(self) -> CostSteps:
        """Return the steps; the step of the answered frames only if some were unanswered, because it is no saving."""
        unanswered = (("answered ones only", self.answered_small_nanousd),) if self.answered != self.kept else ()
        return (
            ("every frame, full size", self.every_frame_nanousd),
            ("changed frames only", self.changed_only_nanousd),
            ("and downscaled", self.changed_small_nanousd),
            *unanswered,
            ("what was spent", self.cost_nanousd),
        )


def tenant_spend(tenants: pa.Table) -> list[TenantSpend]:
    """Return the tenants in order of falling cost; tenants of unknown cost come last."""
    rows = [TenantSpend(name=row["tenant"] or "", **{key: row[key] for key in _KEYS}) for row in tenants.to_pylist()]
    return sorted(rows, key=lambda row: (row.cost_nanousd is None, -(row.cost_nanousd or 0), row.name))


def sum_spend(name: str, rows: list[TenantSpend]) -> TenantSpend:
    """Return the sum of rows; a value that is unknown in one row is unknown in the sum."""
    return TenantSpend(name=name, **{key: _sum([getattr(row, key) for row in rows]) for key in _KEYS})


def _sum(values: list[Any]) -> Any:
    return None if any(value is None for value in values) else sum(values)
