"""Real LiveKit rooms beside the synthetic ones: publishers over WebRTC, and the room agent's own jobs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from livekit import api

from cluster.lab.load.app_under_test import AppUnderTest
from cluster.lab.load.timed_client import connected, tenant_usage
from cluster.lab.scenario.arrivals import tenant_name
from cluster.lab.stack import startup
from cluster.lab.stack.livekit_server import find_livekit_server
from cluster.lab.stack.plan import Plan
from cluster.lab.stack.processes import Processes
from cluster.lab.stack.rooms import STOP_GRACE_S, dispatch, start_publisher
from room_agent.core.router_errors import RouterError

FRAMES_PER_SECOND = 5
COUNTERS = ("frames_seen", "frames_repeated", "frames_kept", "answers", "frames_shed")


def real_names(count: int, tenants: int) -> dict[str, str]:
    """Return the names of `count` rooms with their tenants, assigned in turn."""
    owners = [tenant_name(number % tenants) for number in range(count)]
    return {f"tenant_{owner}_webrtc-{number + 1}": owner for number, owner in enumerate(owners)}


@asynccontextmanager
async def real_rooms(
    plan: Plan, processes: Processes, app: AppUnderTest, rooms: Mapping[str, str], seconds: float
) -> AsyncIterator[dict[str, float]]:
    """Run rooms while the body runs; afterwards the yielded mapping holds their agents' counters."""
    counters: dict[str, float] = {}
    binary = await asyncio.to_thread(find_livekit_server, plan.root)
    await startup.start_livekit(plan, binary, processes)
    await startup.start_agent(plan, processes)
    async with api.LiveKitAPI(plan.livekit_url, plan.livekit_key, plan.livekit_secret) as lk:
        for room, tenant in rooms.items():
            await dispatch(lk, room, tenant)
        await start_publisher(plan, processes, list(rooms), seconds, FRAMES_PER_SECOND)
        yield counters
        counters |= await _counters(app, rooms)
        await processes.stop("publisher", STOP_GRACE_S)
        for room in rooms:
            async with asyncio.timeout(STOP_GRACE_S):
                await lk.room.delete_room(api.DeleteRoomRequest(room=room))
    await processes.stop("agent", STOP_GRACE_S)
    await processes.stop("livekit", STOP_GRACE_S)


def describe_counters(counters: Mapping[str, float], rooms: int) -> str:
    """Return the report's sentence on the real rooms."""
    parts = ", ".join(f"{counters.get(name, 0):.0f} {name.replace('_', ' ')}" for name in COUNTERS)
    return f"{rooms} real LiveKit rooms ran beside the synthetic ones, which alone are in the tables: {parts}."


async def _counters(app: AppUnderTest, rooms: Mapping[str, str]) -> dict[str, float]:
    """Return the sums of the last counters of the agents in the real rooms, with the worst of their times."""
    reports: list[Mapping[str, Any]] = []
    async with connected(app.url) as transport:
        for tenant in sorted(set(rooms.values())):
            try:
                usage = await tenant_usage(transport, app.admin_key or "", tenant)
            except RouterError:
                continue
            reports += [room.counters for room in usage.rooms if room.room in rooms]
    sums = Counter[str]()
    for counters in reports:
        sums.update({name: int(counters.get(name, 0)) for name in COUNTERS})
    worst_ms = max((float(counters.get("answer_p95_ms", 0.0)) for counters in reports), default=0.0)
    return {**sums, "rooms_told": len(reports), "answer_p95_ms": worst_ms}
