"""Room names, tenant_{tenant_id}_{meeting_id}, the signed metadata of a room, and the agent that its tenant wants."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from routing.errors import BadInput, Forbidden, RoomNameInvalid
from routing.models import RefusedField, TenantAgent
from routing.tools.record import BACKEND, MAX_SERVERS, TenantTools, ToolServer, ToolSource
from routing.validation import first_error

MAX_ROOM_BYTES = 256
MAX_FIELDS, MAX_KEY_CHARS = 32, 64
# A tenant id has no "_", so that a name can be split in one way only.
_TENANT, _MEETING = r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}", r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ROOM = re.compile(rf"tenant_(?P<tenant>{_TENANT})_(?P<meeting>{_MEETING})", re.ASCII)
ROOM_PATTERN = rf"^tenant_{_TENANT}_{_MEETING}$"
"""The same for a JSON Schema, which knows no named groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomName:
    """A room's name and the two ids in it."""

    room: str
    tenant_id: str
    meeting_id: str


def parse_room(room: str) -> RoomName:
    """Return the tenant and meeting ids of a room's name; raises RoomNameInvalid."""
    match = _ROOM.fullmatch(room) if len(room.encode("utf-8", "replace")) <= MAX_ROOM_BYTES else None
    if match is None:
        raise RoomNameInvalid(param="room")
    return RoomName(room=room, tenant_id=match["tenant"], meeting_id=match["meeting"])


def check_metadata(name: RoomName, metadata: str) -> dict[str, Any]:
    """Return a dispatch's signed metadata if it names the tenant that the room's name holds.

    `metadata` is JSON `{"tenant_id": ..., "meeting_id": ..., "agent": {...}}`; all but the tenant may be left out.
    Raises BadInput or Forbidden.
    """
    fields = metadata_object(metadata)
    if fields.get("tenant_id") != name.tenant_id:
        raise Forbidden("The metadata's tenant_id is not the tenant of the room's name.", "metadata.tenant_id")
    if fields.get("meeting_id", name.meeting_id) != name.meeting_id:
        raise Forbidden("The metadata's meeting_id is not the meeting of the room's name.", "metadata.meeting_id")
    return fields


def metadata_object(metadata: str) -> dict[str, Any]:
    """Return a job's metadata; raises BadInput for any other text than a JSON object."""
    try:
        fields = json.loads(metadata)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise BadInput('The metadata must be a JSON object such as {"tenant_id": "acme"}.', "metadata")
    return fields


def read_tenant_agent(value: Any, base: TenantAgent | None = None) -> tuple[TenantAgent, tuple[RefusedField, ...]]:
    """Return the agent that `value` describes, as changes to `base`, and the fields that are wrong.

    A wrong field is left out: it must not keep a meeting without its agent.
    """
    base = base or TenantAgent()
    if value is None:
        return base, ()
    if not isinstance(value, dict):
        return base, (RefusedField(name="agent", problem="must be an object"),)
    refused: list[RefusedField] = []
    changes: dict[str, Any] = {}
    for key, one in list(value.items())[:MAX_FIELDS]:
        try:
            changes |= TenantAgent.model_validate({key: one}).model_dump(exclude_unset=True)
        except ValidationError as error:
            refused.append(RefusedField(name=str(key)[:MAX_KEY_CHARS], problem=first_error(error)[1]))
    return base.model_copy(update=changes), tuple(refused)


def read_tenant_tools(value: Any) -> tuple[TenantTools, tuple[RefusedField, ...]]:
    """Return the tools that a tenant's record names, and the parts that are wrong, which are left out."""
    if value is None:
        return TenantTools(), ()
    if not isinstance(value, dict):
        return TenantTools(), (RefusedField(name="tools", problem="must be an object"),)
    refused = [
        RefusedField(name=f"tools.{key}"[:MAX_KEY_CHARS], problem="is no field of `tools`")
        for key in list(value)[:MAX_FIELDS]
        if key not in TenantTools.model_fields
    ]
    backend = _tool_source(ToolSource, value.get("backend"), "tools.backend", refused)
    listed = value.get("servers", ())
    if not isinstance(listed, list | tuple):
        refused.append(RefusedField(name="tools.servers", problem="must be a list"))
        listed = ()
    servers: dict[str, ToolServer] = {}
    for index, one in enumerate(listed[: 2 * MAX_SERVERS]):
        where = f"tools.servers.{index}"
        server = _tool_source(ToolServer, one, where, refused)
        if server is None:
            continue
        if server.name in {*servers, BACKEND} or len(servers) == MAX_SERVERS:
            problem = f"a name must be unique and not `{BACKEND}`, and there may be {MAX_SERVERS} servers"
            refused.append(RefusedField(name=where, problem=problem))
        else:
            servers[server.name] = server
    return TenantTools(servers=tuple(servers.values()), backend=backend), tuple(refused)


S = TypeVar("S", bound=ToolSource)


def _tool_source(kind: type[S], value: Any, where: str, refused: list[RefusedField]) -> S | None:
    """Return a source of tools; None if there is none, or it is wrong, which is added to `refused`."""
    if value is None:
        return None
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        field, message = first_error(error)
        # A key of `tools` may be any text, so only the first step of the path is named.
        name = f"{where}.{field.partition('.')[0]}" if field else where
        refused.append(RefusedField(name=name[:MAX_KEY_CHARS], problem=message))
        return None
