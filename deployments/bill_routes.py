"""Serve the bill of the cost journal to administrators, page by page."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Response
from fastapi.responses import JSONResponse

from deployments.api.app import ApiApp, BoundedRequest
from deployments.api.auth import check_key
from deployments.api.bill_schemas import BillParameters, parse_bill
from deployments.api.openapi.document import ADMIN, operation, query_parameters
from deployments.api.openapi.room_responses import BillPageBody
from deployments.gateway.service import Gateway
from routing.billing.bill import encode_cursor


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
        check_key(request.headers.get("authorization"), gateway.keys.admin, "admin")
        page = await gateway.rooms.bill(wanted := parse_bill(request.query_params.multi_items()))
        return JSONResponse(
            {
                "by": list(wanted.query.by),
                "rows": [asdict(row) | {"reported_nanousd": row.reported_nanousd} for row in page.rows],
                "next_cursor": page.next_key and encode_cursor(page.next_key),
            }
        )
