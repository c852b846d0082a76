"""A room with an agent of the worker: dispatched as a backend does it, and closed once all usage is reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil
from livekit import api

from tests.support.livekit_server import LiveKit
from tests.support.stack import Stack

TIMEOUT_S = 60.0
API_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Meeting:
    """One room of a running system."""

    stack: Stack
    room: str
    job_killed: bool = False

    async def wait_for_counter(self, name: str, value: float) -> None:
        """Wait until a heartbeat of the agent reports this value of a counter. Raises TimeoutError."""
        async with asyncio.timeout(TIMEOUT_S):
            while (await self.stack.counters(self.room)).get(name) != value:
                await asyncio.sleep(0.1)

    async def wait_for_microphones(self, microphones: int = 1) -> None:
        """Wait until the agent transcribes this number of microphones. Raises TimeoutError."""
        await self.wait_for_counter("hearing_microphones", microphones)

    def kill_job(self, job: psutil.Process) -> None:
        """Kill the agent's job, which then cannot close the room at the router."""
        job.kill()
        self.job_killed = True

    async def close(self) -> None:
        """Delete the room; return once its agent, unless it was killed, has reported all usage and left."""
        livekit = self.stack.livekit
        async with (
            asyncio.timeout(API_TIMEOUT_S),
            api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as api_client,
        ):
            await api_client.room.delete_room(api.DeleteRoomRequest(room=self.room))
        async with asyncio.timeout(TIMEOUT_S):
            while not self.job_killed and await self.stack.counters(self.room):
                await asyncio.sleep(0.1)


async def dispatch(livekit: LiveKit, room: str, metadata: dict[str, str] | str, agent_name: str = "rayroom") -> None:
    """Dispatch an agent to `room`, as a backend does it."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    async with asyncio.timeout(API_TIMEOUT_S), api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as api_client:
        await api_client.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=agent_name, room=room, metadata=text)
        )


@asynccontextmanager
async def open_meeting(stack: Stack, room: str) -> AsyncIterator[Meeting]:
    """Yield the room `tenant_<tenant>_<name>` with an agent dispatched to it; the room is deleted on exit."""
    await dispatch(stack.livekit, room, {"tenant_id": room.split("_")[1]})
    meeting = Meeting(stack, room)
    yield meeting
    await meeting.close()
