"""The figures of a signed correction: the difference from all that is booked for its event so far."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.costs.storage import event_queries
from cluster.costs.storage.booking_time import day_of, month_of_day
from cluster.costs.storage.schema import USAGE
from routing.models import Settlement

_CORRECTIONS = uuid.UUID("0c2a5d0e-93a1-5b52-8a0e-6d7f5a0b9c41")


def nth_correction_id(event_id: str, number: int) -> str:
    """Return the id of an event's correction; the first one has number 1."""
    return str(uuid.uuid5(_CORRECTIONS, f"{event_id}|{number}"))


def change_to(settlement: Settlement, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the amounts of the correction that takes `rows`, an event and its corrections, to a settlement."""
    now = {"cost_nanousd": settlement.cost_nanousd, "estimated": int(settlement.estimated)}
    now |= dict(zip(USAGE, event_queries.usage_values(settlement.usage), strict=True))
    return {name: value - sum(row[name] for row in rows) for name, value in now.items()}


def correction_row(
    event: Mapping[str, Any], correction_id: str, change: Mapping[str, Any], booked_at_s: float
) -> dict[str, Any]:
    """Return the row of a correction: its event's, but for its own id, its booking and its change."""
    day = day_of(booked_at_s)
    times = {"booked_at_s": booked_at_s, "day": day, "month": month_of_day(day)}
    names = {"event_id": correction_id, "corrects": event["event_id"], "requests": 0}
    return {**event, **names, **times, **change}
