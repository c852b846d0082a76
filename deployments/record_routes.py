"""Pass the records of meetings on to the backend, and delete them for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError

from deployments.api.app import ApiApp, BoundedRequest
from deployments.api.body import Body, bad_input, read_body
from deployments.api.openapi.document import ADMIN, BACKEND, ROOM, operation, query_parameters
from deployments.api.openapi.room_responses import DeletedRecords, ReportedPart
from deployments.gateway.service import Gateway
from deployments.room_access import room_token
from routing.records.models import RecordPart


class RecordParameters(Body):
    """The records that are to be deleted."""

    meeting: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Only those of this meeting; all of the tenant's where it is absent."""


def add_records(app: ApiApp, gateway: Gateway) -> None:
    reporting = operation(ReportedPart, BACKEND, key=ROOM, body=RecordPart)
    deleting = operation(
        DeletedRecords, (400, 401, 500, 502, 503), key=ADMIN, parameters=query_parameters(RecordParameters)
    )

    @app.endpoint("POST", "/v1/rooms/{room}/record", openapi_extra=reporting)
    async def report_record(request: BoundedRequest, room: str) -> Response:
        """Pass a part of the meeting's record on to the backend; the last part gets the costs of the meeting.

        An agent sends a part until it is answered. It deletes its copy of a part that is stored, a duplicate, or
        deleted at the backend. It sends smaller parts after `too_large`, and keeps one that is refused.
        """
        token = room_token(request, gateway, room)
        answer = await gateway.rooms.report(token, await read_body(RecordPart, await request.read(token.tenant_id)))
        return JSONResponse(asdict(answer))

    @app.endpoint("DELETE", "/v1/tenants/{tenant_id}/records", openapi_extra=deleting)
    async def delete_records(request: BoundedRequest, tenant_id: str) -> Response:
        """Delete a tenant's records at the backend, or those of one meeting; needs an admin key.

        Parts that still wait at an agent are deleted there when it sends them next, within two minutes as a rule.
        """
        gateway.authentication.admin(request.headers.get("authorization"))
        try:
            wanted = RecordParameters.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise bad_input(error) from None
        return JSONResponse({"deleted": await gateway.rooms.delete_records(tenant_id, wanted.meeting)})
