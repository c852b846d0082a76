"""Read rooms from LiveKit's server API, and carry out the steps. Every call has a deadline."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from livekit import api

from cluster.dispatch.models import (
    CreateDispatch,
    DeleteDispatch,
    DispatchedJob,
    RemoveAgent,
    RoomDispatch,
    RoomSnapshot,
    Step,
)
from deployments.api.access.dispatch_signature import check_signature, signed_metadata
from room_agent.core.agents import (
    AGENT_NAME_ATTRIBUTE,
    DISPATCH_ATTRIBUTE,
    REPLACES_ATTRIBUTE,
    WATCHING_ATTRIBUTE,
    PresentAgent,
)
from routing.errors import RayroomError
from routing.rooms import RoomName, parse_room

KEY_ATTRIBUTE = "rayroom.dispatch"
"""The attribute of a dispatch that holds its idempotency key."""
TIMEOUT_S = 5.0
LIST_TIMEOUT_S = 15.0
_NANOS = 1e9
_NOT_PEOPLE = (api.ParticipantInfo.Kind.AGENT, api.ParticipantInfo.Kind.EGRESS)
_ENDED = (api.JobStatus.JS_SUCCESS, api.JobStatus.JS_FAILED)


class LiveKitUnavailable(RayroomError):
    """LiveKit did not answer, or answered with an error."""

    status = 503
    code = "livekit_unavailable"
    retryable = True


class LiveKitRefused(RayroomError):
    """LiveKit refused a request, such as one with a wrong API key."""

    status = 502
    code = "livekit_refused"


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A room of the list: its id changes when it is closed and opened again."""

    sid: str
    participants: int


class LiveKitRooms:
    """The rooms of one LiveKit cluster, as the agents named `agent_name` see them."""

    def __init__(self, url: str, key: str, secret: str, agent_name: str, dispatch_secret: str = "") -> None:
        """With a `dispatch_secret`, the metadata of every created dispatch is signed for its room."""
        self._url = url
        self._key = key
        self._secret = secret
        self._agent_name = agent_name
        self._dispatch_secret = dispatch_secret
        self._api: api.LiveKitAPI | None = None

    async def list_rooms(self) -> dict[str, ListedRoom]:
        """Return all rooms by name; raises LiveKitUnavailable or LiveKitRefused."""
        async with _our_errors(LIST_TIMEOUT_S):
            answer = await self._client().room.list_rooms(api.ListRoomsRequest())
        return {room.name: ListedRoom(room.sid, room.num_participants) for room in answer.rooms}

    async def snapshot(self, name: RoomName) -> RoomSnapshot | None:
        """Return the state of a room, or None for a room that does not exist; raises as `list_rooms` does."""
        client = self._client()
        async with _our_errors(TIMEOUT_S):
            try:
                request = api.ListParticipantsRequest(room=name.room)
                listed = _connected((await client.room.list_participants(request)).participants)
                # Of a room that was just deleted LiveKit would search the dispatches for three seconds.
                dispatches = await client.agent_dispatch.list_dispatch(name.room) if listed else []
            except api.ServerError as error:
                if error.code == api.ServerErrorCode.NOT_FOUND:
                    return None
                raise
        return RoomSnapshot(
            name=name,
            people=sum(participant.kind not in _NOT_PEOPLE for participant in listed),
            agents=tuple(_agent(participant) for participant in listed if self._is_ours(participant)),
            dispatches=tuple(_dispatch(one) for one in dispatches if one.agent_name == self._agent_name),
        )

    async def apply(self, room: str, step: Step) -> None:
        """Carry out a step. Deleting or removing something that does not exist is no error."""
        async with _our_errors(TIMEOUT_S):
            try:
                await self._apply(room, step)
            except api.ServerError as error:
                if error.code != api.ServerErrorCode.NOT_FOUND:
                    raise

    async def aclose(self) -> None:
        if self._api is not None:
            await self._api.aclose()

    async def _apply(self, room: str, step: Step) -> None:
        client = self._client()
        if isinstance(step, RemoveAgent):
            await client.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=step.identity))
        elif isinstance(step, DeleteDispatch):
            await client.agent_dispatch.delete_dispatch(step.id, room)
        else:
            await client.agent_dispatch.create_dispatch(self._request(room, step))

    def _request(self, room: str, step: CreateDispatch) -> api.CreateAgentDispatchRequest:
        attributes = {KEY_ATTRIBUTE: step.key, REPLACES_ATTRIBUTE: step.replaces}
        metadata = self._signed(parse_room(room), step.metadata) if self._dispatch_secret else step.metadata
        return api.CreateAgentDispatchRequest(
            agent_name=self._agent_name, room=room, metadata=metadata, attributes=attributes
        )

    def _signed(self, name: RoomName, metadata: str) -> str:
        """Return the metadata with a fresh signature, or the room's own where another program has not signed it."""
        try:
            check_signature(metadata, name, (self._dispatch_secret,), ended=True)
        except RayroomError:
            metadata = json.dumps({"tenant_id": name.tenant_id, "meeting_id": name.meeting_id})
        return signed_metadata(metadata, name, self._dispatch_secret, time.time())

    def _is_ours(self, participant: api.ParticipantInfo) -> bool:
        # The kind comes from the token, which only a holder of the API secret can sign. A name anybody can take.
        is_agent = participant.kind == api.ParticipantInfo.Kind.AGENT
        return is_agent and participant.attributes.get(AGENT_NAME_ATTRIBUTE) == self._agent_name

    def _client(self) -> api.LiveKitAPI:
        if self._api is None:
            timeout = aiohttp.ClientTimeout(total=LIST_TIMEOUT_S)
            self._api = api.LiveKitAPI(self._url, self._key, self._secret, timeout=timeout, failover=False)
        return self._api


def _connected(participants: Iterable[api.ParticipantInfo]) -> list[api.ParticipantInfo]:
    return [one for one in participants if one.state != api.ParticipantInfo.State.DISCONNECTED]


def _agent(participant: api.ParticipantInfo) -> PresentAgent:
    return PresentAgent(
        identity=participant.identity,
        joined_at_ms=participant.joined_at_ms,
        dispatch_id=participant.attributes.get(DISPATCH_ATTRIBUTE, ""),
        replaces=participant.attributes.get(REPLACES_ATTRIBUTE, ""),
        watching=bool(participant.attributes.get(WATCHING_ATTRIBUTE)),
    )


def _dispatch(dispatch: api.AgentDispatch) -> RoomDispatch:
    state = dispatch.state
    return RoomDispatch(
        id=dispatch.id,
        created_at_ns=state.created_at,
        age_s=time.time() - state.created_at / _NANOS,
        key=dispatch.attributes.get(KEY_ATTRIBUTE, ""),
        replaces=dispatch.attributes.get(REPLACES_ATTRIBUTE, ""),
        metadata=dispatch.metadata,
        jobs=tuple(
            DispatchedJob(identity=job.state.participant_identity, ended=job.state.status in _ENDED)
            for job in state.jobs
        ),
    )


@asynccontextmanager
async def _our_errors(timeout_s: float) -> AsyncIterator[None]:
    """Bound the time of a call, and turn LiveKit's errors into ours."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (TimeoutError, aiohttp.ClientError) as error:
        raise LiveKitUnavailable(f"LiveKit did not answer: {type(error).__name__}.") from None
    except api.ServerError as error:
        kind = LiveKitRefused if 400 <= error.status < 500 else LiveKitUnavailable
        raise kind(f"LiveKit answered {error.status} {error.code}.") from None
