"""Decide whether an agent may open a room: by its key, its job's metadata and the metadata's signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.api.access.authentication import FailedAuthentications
from deployments.api.access.dispatch_signature import check_signature
from deployments.api.access.keys import AgentGrant, KeySource
from deployments.api.room_schemas import OpenRoom
from routing.errors import Forbidden
from routing.rooms import RoomName, check_metadata, parse_room


@dataclass(frozen=True, slots=True, kw_only=True)
class PermittedRoom:
    """A room that an agent may open, and the metadata of its job."""

    name: RoomName
    metadata: Mapping[str, Any] = field(repr=False)


class RoomPermission:
    """The checks of an opening before the tenant is looked up."""

    def __init__(self, keys: KeySource, failures: FailedAuthentications) -> None:
        self._keys = keys
        self._failures = failures

    def check(self, request: OpenRoom, grant: AgentGrant) -> PermittedRoom:
        """Return the room; raises RoomNameInvalid, BadInput, Unauthorized or Forbidden."""
        name = parse_room(request.room)
        with self._failures.of("agent key"):
            if not grant.allows(name.tenant_id):
                raise Forbidden("This agent key is not for the tenant of this room.", "room")
        metadata = check_metadata(name, request.metadata)
        with self._failures.of("dispatch signature"):
            check_signature(request.metadata, name, self._keys.current().dispatch_secrets, ended=request.ended)
        return PermittedRoom(name=name, metadata=metadata)
