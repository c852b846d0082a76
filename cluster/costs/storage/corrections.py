"""Change the cost of a settled event, in place or by a signed correction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.costs.models import Correction, Knowledge, SettledIntent
from cluster.costs.storage.booking_time import day_of, month_of_day
from cluster.costs.storage.month_files import MonthFiles
from cluster.costs.storage.running_sums import SumChanges
from cluster.costs.storage.schema import USAGE
from cluster.costs.storage.settled_events import SettledEvents, usage_values
from routing.models import Settlement

_IDS = uuid.UUID("0c2a5d0e-93a1-5b52-8a0e-6d7f5a0b9c41")


class Corrections:
    """Better knowledge replaces an event's figures until they are sealed, and adds a correction from then on."""

    def __init__(
        self, settled: SettledEvents, months: MonthFiles, sums: SumChanges, restored_at_s: float = 0.0
    ) -> None:
        """Costs booked until `restored_at_s` are not improved: the lost journal may have billed the difference."""
        self._settled = settled
        self._restored_at_s = restored_at_s
        self._months = months
        self._sums = sums

    def improve(self, settlement: Settlement, knowledge: Knowledge, booked_at_s: float) -> SettledIntent | None:
        """Book a settlement of a settled event; return None where the event is unknown or known as well already."""
        event = self._find(settlement.event_id)
        if event is None or event["booked_at_s"] <= self._restored_at_s:
            return None
        if event["event"] > self._settled.sealed_event and not event["moved"]:
            return self._replace(event, settlement, knowledge)
        rows = self._with_corrections(event)
        if knowledge <= rows[-1]["knowledge"]:
            return None
        change = {"outcome": settlement.outcome, "knowledge": int(knowledge)} | _change_to(settlement, rows)
        return self._correct(event, _nth_id(event["event_id"], len(rows)), change, booked_at_s)

    def contradicts(self, settlement: Settlement, knowledge: Knowledge) -> bool:
        """Return whether an event is booked by the same knowledge at other amounts."""
        event = self._find(settlement.event_id)
        if event is None:
            return False
        rows = self._with_corrections(event)
        return bool(knowledge == rows[-1]["knowledge"] and any(_change_to(settlement, rows).values()))

    def add(self, correction: Correction, booked_at_s: float) -> SettledIntent | None:
        """Add a correction by hand; return None for an unknown event and for a repetition."""
        event = self._find(correction.event_id)
        if event is None or self._find(correction.correction_id) is not None:
            return None
        usage = {unit: correction.usage.get(unit, 0) for unit in USAGE}
        change = {"cost_nanousd": correction.cost_nanousd, "estimated": 0, **usage}
        return self._correct(event, correction.correction_id, change, booked_at_s)

    def _find(self, event_id: str) -> dict[str, Any] | None:
        event = self._settled.find(event_id)
        return self._months.find(event_id) if event is None else event | {"moved": False}

    def _with_corrections(self, event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return an event and the corrections that better knowledge made, in order."""
        rows = [event]
        while (row := self._find(_nth_id(event["event_id"], len(rows)))) is not None:
            rows.append(row)
        return rows

    def _replace(self, event: Mapping[str, Any], settlement: Settlement, knowledge: Knowledge) -> SettledIntent | None:
        if knowledge <= event["knowledge"]:
            return None
        self._settled.replace(event["event"], settlement, knowledge)
        added = settlement.cost_nanousd - event["cost_nanousd"]
        return self._book(event, event, added, int(settlement.estimated) - event["estimated"])

    def _correct(
        self, event: Mapping[str, Any], correction_id: str, change: Mapping[str, Any], booked_at_s: float
    ) -> SettledIntent:
        row = _correction_row(event, correction_id, change, booked_at_s)
        self._settled.add(row)
        return self._book(event, row, row["cost_nanousd"], row["estimated"])

    def _book(
        self, event: Mapping[str, Any], booked: Mapping[str, Any], added_nanousd: int, estimated: int
    ) -> SettledIntent:
        key = (event["tenant_id"], event["service"], event["model"], event["simulated"])
        self._sums.book(key, booked["day"], added_nanousd, 0, estimated)
        return SettledIntent(
            tenant_id=event["tenant_id"],
            released_nanousd=0,
            added_nanousd=added_nanousd,
            room=event["room"],
            booked_at_s=booked["booked_at_s"],
            corrected=booked is not event,
            arrived_at_s=event["arrived_at_s"],
            witnessed=bool(event["witnessed"]),
        )


def _nth_id(event_id: str, number: int) -> str:
    """Return the id of an event's correction; the first one has number 1."""
    return str(uuid.uuid5(_IDS, f"{event_id}|{number}"))


def _change_to(settlement: Settlement, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the amounts of the correction that takes `rows`, an event and its corrections, to a settlement."""
    now = {"cost_nanousd": settlement.cost_nanousd, "estimated": int(settlement.estimated)}
    now |= dict(zip(USAGE, usage_values(settlement.usage), strict=True))
    return {name: value - sum(row[name] for row in rows) for name, value in now.items()}


def _correction_row(
    event: Mapping[str, Any], correction_id: str, change: Mapping[str, Any], booked_at_s: float
) -> dict[str, Any]:
    """Return the row of a correction: its event's, but for its own id, its booking and its change."""
    day = day_of(booked_at_s)
    times = {"booked_at_s": booked_at_s, "day": day, "month": month_of_day(day)}
    names = {"event_id": correction_id, "corrects": event["event_id"], "requests": 0}
    return {**event, **names, **times, **change}
