"""Serve the bill of the cost journal to administrators, page by page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError

from deployments.api.app import ApiApp, BoundedRequest
from deployments.api.body import Body, bad_input
from deployments.api.openapi.document import ADMIN, operation, query_parameters
from deployments.api.openapi.room_responses import BillPageBody
from deployments.gateway.service import Gateway
from routing.billing.bill import MAX_CURSOR_CHARS, BillRequest, Grouping, decode_cursor, encode_cursor, parse_query

MAX_ROWS = 1_000
_TIME = Annotated[str, Field(max_length=40)]


class BillParameters(Body):
    """A page of a bill: the tenant, the time, the groupings, and the place to begin at."""

    tenant: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Only this tenant; all of them where it is absent."""
    since: _TIME | None = None
    """The day or time from which on costs count, such as 2026-11-01: of the tenant's time zone, or UTC for all."""
    until: _TIME | None = None
    """The first day or time whose costs count no more."""
    by: Annotated[tuple[Grouping, ...], Field(max_length=len(Grouping))] = (Grouping.MODEL,)
    """The groupings; the parameter may be given several times."""
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 100
    """The most rows of a page."""
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARS)] | None = None
    """The `next_cursor` of the page before; the other parameters have to stay the same."""


def add_bill(app: ApiApp, gateway: Gateway) -> None:
    described = operation(
        BillPageBody, (400, 401, 404, 500, 502, 503), key=ADMIN, parameters=query_parameters(BillParameters)
    )

    @app.endpoint("GET", "/v1/bill", openapi_extra=described)
    async def bill(request: BoundedRequest) -> Response:
        """Return a page of the bill, of live and past months; needs an admin key.

        Each cost counts where and when it was booked, and a correction likewise. Costs that were booked as estimates
        and corrections are shown apart; both are part of `cost_nanousd`.
        """
        gateway.authentication.admin(request.headers.get("authorization"))
        wanted = _parse(request.query_params.multi_items())
        page = await gateway.rooms.bill(wanted)
        return JSONResponse(
            {
                "by": list(wanted.query.by),
                "time_zone": page.time_zone or "UTC",
                "rows": [asdict(row) | {"reported_nanousd": row.reported_nanousd} for row in page.rows],
                "next_cursor": page.next_key and encode_cursor(page.next_key),
            }
        )


def _parse(items: Iterable[tuple[str, str]]) -> BillRequest:
    """Return the page that a query string names; raises BadInput with the wrong parameter."""
    found: dict[str, Any] = {}
    for name, value in items:
        if name == "by":
            found.setdefault("by", []).append(value)
        else:
            found[name] = value
    try:
        wanted = BillParameters.model_validate(found)
    except ValidationError as error:
        raise bad_input(error) from None
    query = parse_query(wanted.by, wanted.tenant, wanted.since, wanted.until)
    after = () if wanted.cursor is None else decode_cursor(wanted.cursor, query)
    return BillRequest(query=query, after=after, limit=wanted.limit)
