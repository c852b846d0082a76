"""Dispatch the room agent to LiveKit rooms, and start the processes that join them as participants."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys

from livekit import api

from cluster.lab.stack.plan import Plan
from cluster.lab.stack.processes import Processes

STOP_GRACE_S = 12.0
SCREEN_PUBLISHER = "cluster.lab.stack.screen_publisher"
# A participant outlives the run by this much, so that the run stops it and never the reverse.
_EXTRA_S = 5


async def dispatch(lk: api.LiveKitAPI, room: str, tenant: str) -> None:
    """Dispatch the room agent to a room of a tenant. Raises TimeoutError after 12 s."""
    metadata = json.dumps({"tenant_id": tenant})
    request = api.CreateAgentDispatchRequest(agent_name="rayroom", room=room, metadata=metadata)
    async with asyncio.timeout(STOP_GRACE_S):
        await lk.agent_dispatch.create_dispatch(request)


async def start_publisher(
    plan: Plan, processes: Processes, rooms: list[str], seconds: float, frames_per_second: float
) -> asyncio.subprocess.Process:
    """Start the process `publisher`, which shares a synthetic screen in each room."""
    return await start_guest(
        plan, processes, "publisher", SCREEN_PUBLISHER, rooms, seconds, "--fps", str(frames_per_second)
    )


async def start_guest(
    plan: Plan, processes: Processes, name: str, module: str, rooms: list[str], seconds: float, *options: str
) -> asyncio.subprocess.Process:
    """Start `module` as the process `name`, and write its room tokens to its stdin.

    Tokens go through stdin because every user of the machine can read a command line.
    """
    command = [sys.executable, "-m", module, "--url", plan.livekit_url, "--tokens-stdin", *options]
    command += ["--rooms", ",".join(rooms), "--seconds", str(seconds + _EXTRA_S)]
    guest = await processes.start(name, command, piped=True)
    tokens = {room: _participant_token(plan, room, name) for room in rooms}
    assert guest.stdin is not None
    guest.stdin.write(json.dumps(tokens).encode() + b"\n")
    async with asyncio.timeout(STOP_GRACE_S):
        await guest.stdin.drain()
    return guest


def _participant_token(plan: Plan, room: str, name: str) -> str:
    grants = api.VideoGrants(room_join=True, room=room, can_publish=True, can_subscribe=True)
    token = api.AccessToken(plan.livekit_key, plan.livekit_secret).with_identity(f"{name}-{room}")
    return token.with_grants(grants).with_ttl(dt.timedelta(hours=1)).to_jwt()
