"""Read the cost journal beside its writer: read-only connections that see the last commit and take no lock."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from cluster.costs.models import SettledEvent
from cluster.costs.schema import EVENT, IDENTITY, USAGE
from routing.models import Outcome, Service, TenantTotals

_BY_MODEL = """SELECT service, model, max(simulated) AS simulated, sum(requests) AS requests,
    sum(estimated) AS estimated_requests, sum(cost_nanousd) AS cost_nanousd, sum(sent_nanousd) AS sent_nanousd
    FROM totals WHERE tenant_id = ? GROUP BY service, model ORDER BY service, model"""
_RESERVED = "SELECT coalesce(sum(estimate_nanousd), 0) FROM reserved WHERE tenant_id = ?"
_OPEN = "SELECT coalesce(sum(intents), 0) FROM reserved"
_SETTLED_BY_TENANT = "SELECT tenant_id, sum(cost_nanousd) FROM totals GROUP BY tenant_id"
_OPEN_ROWS = f"SELECT event_id, {', '.join(IDENTITY)}, expires_at_s FROM open_events"
_SETTLED_ROWS = f"SELECT event, {', '.join(EVENT)} FROM settled ORDER BY event"
_SETTLED_EVENTS = f"""SELECT tenant_id, service, model, outcome, cost_nanousd, {", ".join(USAGE)} FROM settled
    WHERE service = coalesce(?, service) ORDER BY event"""


class JournalReader:
    """A connection of its own to the journal of a running writer. Not thread-safe: use it from one thread at a time.

    Every question costs the same however many events the journal holds, but for `events`.
    """

    def __init__(self, path: Path) -> None:
        self._db = connect_read_only(path)

    def close(self) -> None:
        self._db.close()

    def totals(self, tenant_id: str) -> TenantTotals:
        """Return a tenant's totals since the journal began, as a whole and by model."""
        by_model = [row | {"simulated": bool(row["simulated"])} for row in _rows(self._db, _BY_MODEL, tenant_id)]

        def total(name: str) -> int:
            return sum(int(row[name]) for row in by_model)

        return TenantTotals(
            tenant_id=tenant_id,
            settled_nanousd=total("cost_nanousd"),
            reserved_nanousd=int(self._db.execute(_RESERVED, (tenant_id,)).fetchone()[0]),
            sent_nanousd=total("sent_nanousd"),
            requests=total("requests"),
            estimated_requests=total("estimated_requests"),
            by_model=tuple(by_model),
        )

    def open_intents(self) -> int:
        """Return the number of intents without a settlement."""
        return int(self._db.execute(_OPEN).fetchone()[0])

    def events(self) -> list[dict[str, Any]]:
        """Return the open and the settled events that are in no month file, in the order they were opened.

        Usage is JSON of the units that are not zero.
        """
        open_events = [row | {"outcome": None, "usage": "{}"} for row in _rows(self._db, _OPEN_ROWS)]
        settled = [row | {"usage": json.dumps(_usage(row))} for row in _rows(self._db, _SETTLED_ROWS)]
        return sorted(open_events + settled, key=lambda row: float(row["opened_at_s"]))


def read_settled_nanousd(path: Path) -> dict[str, int]:
    """Return each tenant's settled total in nano-dollars; raises sqlite3.Error for a file that is not a journal."""
    with closing(connect_read_only(path)) as db:
        return {str(tenant): int(total) for tenant, total in db.execute(_SETTLED_BY_TENANT)}


def read_open_intents(path: Path) -> int:
    """Return the number of intents without a settlement: each is billed when it expires. Raises sqlite3.Error."""
    with closing(connect_read_only(path)) as db:
        return int(db.execute(_OPEN).fetchone()[0])


def read_settled_events(path: Path, service: Service | None = None) -> list[SettledEvent]:
    """Return the settled events of one service, or of all; raises sqlite3.Error for a file that is not a journal."""
    with closing(connect_read_only(path)) as db:
        rows = db.execute(_SETTLED_EVENTS, (service,)).fetchall()
    return [
        SettledEvent(
            tenant_id=tenant_id,
            service=event_service,
            model=model,
            outcome=Outcome(outcome),
            cost_nanousd=cost_nanousd,
            usage={unit: amount for unit, amount in zip(USAGE, amounts, strict=True) if amount},
        )
        for tenant_id, event_service, model, outcome, cost_nanousd, *amounts in rows
    ]


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write. One thread at a time may use it."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)


def _rows(db: sqlite3.Connection, query: str, *parameters: object) -> Iterator[dict[str, Any]]:
    cursor = db.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _usage(row: dict[str, Any]) -> dict[str, int]:
    return {unit: row[unit] for unit in USAGE if row[unit]}
