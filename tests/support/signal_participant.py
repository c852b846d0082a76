"""Participants and a worker that speak LiveKit's signalling only: no media, so that hundreds of them cost little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from livekit import api
from livekit.protocol import agent as agent_protocol

from room_agent.core.agents import DISPATCH_ATTRIBUTE, REPLACES_ATTRIBUTE
from room_agent.core.worker_heartbeat import WorkerJob
from tests.support.livekit_server import LiveKit

PROTOCOL = "15"


async def join_by_signal(http: aiohttp.ClientSession, livekit: LiveKit, token: str) -> aiohttp.ClientWebSocketResponse:
    """Join the room of a token, and return the connection; closing it leaves the room."""
    query = {"access_token": token, "protocol": PROTOCOL, "sdk": "python", "auto_subscribe": "0"}
    websocket = await http.ws_connect(f"{livekit.url}/rtc", params=query)
    async with asyncio.timeout(10):
        await websocket.receive_bytes()
    return websocket


@dataclass
class SignalWorker:
    """A worker of the SFU whose agents join by signalling. It takes every job that `accepts` takes."""

    livekit: LiveKit
    http: aiohttp.ClientSession
    accepts: Callable[[agent_protocol.Job], bool] = lambda _: True
    start_delay_s: float = 0.0
    agents: dict[str, aiohttp.ClientWebSocketResponse] = field(default_factory=dict)
    """The connection of each agent, by its identity."""
    rooms: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    """The rooms of all agents that joined, in their order."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def registered(self) -> AsyncIterator[SignalWorker]:
        """Offer the worker to the SFU while the context is open."""
        token = api.AccessToken(self.livekit.key, self.livekit.secret).with_grants(api.VideoGrants(agent=True))
        headers = {"Authorization": f"Bearer {token.to_jwt()}"}
        async with self.http.ws_connect(f"{self.livekit.url}/agent", headers=headers) as websocket:
            message = agent_protocol.WorkerMessage()
            message.register.type = agent_protocol.JobType.JT_ROOM
            message.register.agent_name = "rayroom"
            message.register.version = "1.8"
            message.register.allowed_permissions.can_subscribe = True
            message.register.allowed_permissions.can_update_metadata = True
            await websocket.send_bytes(message.SerializeToString())
            async with asyncio.timeout(10):
                await websocket.receive_bytes()
            self._start(self._serve(websocket))
            try:
                yield self
            finally:
                for task in list(self._tasks):
                    task.cancel()
                for connection in self.agents.values():
                    await connection.close()

    def jobs(self) -> list[WorkerJob]:
        """Return the running jobs, as a worker reports them."""
        return [WorkerJob(room=self.rooms[identity], identity=identity) for identity in self.agents]

    def agents_of(self, room: str) -> list[str]:
        return [identity for identity in self.agents if self.rooms[identity] == room]

    async def end(self, identity: str) -> None:
        """Let an agent leave its room."""
        await self.agents.pop(identity).close()

    async def _serve(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        async for received in websocket:
            message = agent_protocol.ServerMessage.FromString(received.data)
            if message.HasField("availability"):
                await websocket.send_bytes(self._availability(message.availability.job).SerializeToString())
            elif message.HasField("assignment"):
                self._start(self._join(message.assignment))

    def _availability(self, job: agent_protocol.Job) -> agent_protocol.WorkerMessage:
        message = agent_protocol.WorkerMessage()
        message.availability.job_id = job.id
        message.availability.available = self.accepts(job)
        message.availability.participant_identity = f"rayroom-{job.id}"
        message.availability.participant_name = "rayroom"
        message.availability.participant_attributes[DISPATCH_ATTRIBUTE] = job.dispatch_id
        if replaces := job.attributes.get(REPLACES_ATTRIBUTE):
            message.availability.participant_attributes[REPLACES_ATTRIBUTE] = replaces
        return message

    async def _join(self, assignment: agent_protocol.JobAssignment) -> None:
        await asyncio.sleep(self.start_delay_s)
        identity, room = f"rayroom-{assignment.job.id}", assignment.job.room.name
        connection = await join_by_signal(self.http, self.livekit, assignment.token)
        self.agents[identity], self.rooms[identity] = connection, room
        self.started.append(room)
        async for _ in connection:
            pass
        self.agents.pop(identity, None)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
