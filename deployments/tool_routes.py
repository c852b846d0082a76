"""Serve the tools of a room to its agent."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json

from deployments.api.app import ApiApp, BoundedRequest
from deployments.api.body import read_body
from deployments.api.openapi.document import COSTLY, ROOM, operation
from deployments.api.openapi.tool_responses import RoomTools, ToolCallAnswer
from deployments.api.tool_schemas import ToolCallRequest
from deployments.gateway.service import Gateway
from deployments.room_access import room_token, with_rate
from deployments.tools.service import ToolService, WantedCall
from routing.errors import TooLarge
from routing.tools.models import MAX_ARGUMENT_BYTES, RoomTool

MAX_CALL_BYTES = 2 * MAX_ARGUMENT_BYTES


def add_tools(app: ApiApp, gateway: Gateway, tools: ToolService) -> None:
    listing = operation(RoomTools, (401, 403, 404, 429, 500, 502, 503), key=ROOM)
    calling = operation(ToolCallAnswer, (*COSTLY, 409), key=ROOM, body=ToolCallRequest)

    @app.endpoint("GET", "/v1/rooms/{room}/tools", openapi_extra=listing)
    async def list_tools(request: BoundedRequest, room: str) -> Response:
        """Return the tools of the room's tenant, and the reasons why others are left out."""
        listed = await tools.list(await gateway.admit(room_token(request, gateway, room), "tools"))
        return JSONResponse(
            {"tools": [_row(tool) for tool in listed.tools], "left_out": [asdict(one) for one in listed.left_out]}
        )

    @app.endpoint("POST", "/v1/rooms/{room}/tools/calls", max_bytes=MAX_CALL_BYTES, openapi_extra=calling)
    async def call_tool(request: BoundedRequest, room: str) -> Response:
        """Call a tool of the room's tenant; return its result once its cost is durable."""
        admitted = with_rate(request, await gateway.admit(room_token(request, gateway, room), "tools"))
        body = await read_body(ToolCallRequest, await request.read(admitted.tenant_id))
        if len(to_json(body.arguments)) > MAX_ARGUMENT_BYTES:
            raise TooLarge(f"arguments: are longer than {MAX_ARGUMENT_BYTES} bytes.", "arguments")
        wanted = WantedCall(
            tool=body.tool,
            digest=body.digest,
            arguments=body.arguments,
            participant=body.participant,
            confirmed=body.confirmed,
        )
        answered = await tools.call(admitted, wanted)
        return JSONResponse(asdict(answered.result) | {"cost_nanousd": answered.cost_nanousd})


def _row(tool: RoomTool) -> dict[str, object]:
    row = asdict(tool)
    del row["remote_name"]
    return row
