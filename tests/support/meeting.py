"""A room with the worker's agent in it: dispatched as a backend does, and closed with all usage reported."""

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
    """One room of a running system, and its agent's counters."""

    stack: Stack
    room: str
    killed: bool = False

    async def tells(self, name: str, value: float) -> None:
        """Wait until a heartbeat carries this counter with this value. Raises TimeoutError."""
        async with asyncio.timeout(TIMEOUT_S):
            while (await self.stack.counters(self.room)).get(name) != value:
                await asyncio.sleep(0.1)

    async def hears(self, microphones: int = 1) -> None:
        await self.tells("hearing_microphones", microphones)

    def kill(self, job: psutil.Process) -> None:
        """Kill the agent's job: nothing is left to close the room."""
        job.kill()
        self.killed = True

    async def end(self) -> None:
        """Close the room; return once its agent, if it lives, has reported everything and left."""
        livekit = self.stack.livekit
        async with asyncio.timeout(API_TIMEOUT_S), api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as lk:
            await lk.room.delete_room(api.DeleteRoomRequest(room=self.room))
        async with asyncio.timeout(TIMEOUT_S):
            while not self.killed and await self.stack.counters(self.room):
                await asyncio.sleep(0.1)


async def dispatch(livekit: LiveKit, room: str, metadata: dict[str, str] | str) -> None:
    """Dispatch an agent to `room`, as a company's backend does."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    async with asyncio.timeout(API_TIMEOUT_S), api.LiveKitAPI(livekit.url, livekit.key, livekit.secret) as lk:
        await lk.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name="rayroom", room=room, metadata=text)
        )


@asynccontextmanager
async def meeting(stack: Stack, room: str) -> AsyncIterator[Meeting]:
    """Yield the room `tenant_<tenant>_<name>` with an agent on its way; the room is closed with the block."""
    await dispatch(stack.livekit, room, {"tenant_id": room.split("_")[1]})
    one = Meeting(stack, room)
    yield one
    await one.end()
