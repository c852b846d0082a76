"""Read the costs of one meeting from pages of its tenant's bill."""

from __future__ import annotations

import datetime as dt

from routing.billing.bill import BillPage, BillQuery, Grouping, Key
from routing.records.models import MeetingCosts, RecordedCost

MAX_MODELS = 200
"""More than a meeting uses: a room's rows of the bill are a service and a model each."""


def cost_query(tenant_id: str, started_at: dt.datetime) -> BillQuery:
    """Return the query of a tenant's costs by room and model since a meeting began."""
    return BillQuery(by=(Grouping.ROOM, Grouping.MODEL), tenant_id=tenant_id, since=started_at)


def key_before(tenant_id: str, room: str) -> Key:
    """Return the key after which the room's rows come: the rows are sorted, and no service has an empty name."""
    return tenant_id, room, "", ""


def meeting_costs(page: BillPage, room: str, as_of: dt.datetime) -> MeetingCosts:
    """Return the costs of the room in a page that begins with it."""
    rows = [row for row in page.rows if row.group["room"] == room]
    models = tuple(
        RecordedCost(
            service=row.group["service"],
            model=row.group["model"],
            requests=row.requests,
            estimated_requests=row.estimated_requests,
            usage=dict(row.usage),
            cost_nanousd=row.cost_nanousd,
        )
        for row in rows
    )
    return MeetingCosts(as_of=as_of, total_nanousd=sum(row.cost_nanousd for row in rows), models=models)
