"""`rayroom demo`: starts the whole system, lets rooms run, stops it, and reconciles the bill."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
from livekit import api
from rich.console import Console
from rich.live import Live

from cluster.demo import reconcile, report, stage, table
from cluster.demo.livekit import find_livekit_server
from cluster.demo.peer import BackendPeer
from cluster.demo.plan import TENANTS, Plan, demo_rooms, planned
from cluster.demo.processes import Processes
from routing.errors import RayroomError

SETTLE_TIMEOUT_S = 30.0
STOP_GRACE_S = 12.0
FRAMES_PER_SECOND = 5

console = Console(highlight=False, markup=False, soft_wrap=True)


def run_demo(seconds: float, rooms: int, directory: Path) -> int:
    """Run the demo; returns 0 when the journal and the backend agree, 1 when not or when something did not start."""
    with planned(Path.cwd(), directory) as plan:
        try:
            return asyncio.run(_until_signalled(_demo(plan, demo_rooms(rooms), seconds)))
        except* RayroomError as errors:
            for error in errors.exceptions:
                console.print(f"{getattr(error, 'code', 'error')}: {error}", style="red")
            console.print(f"The logs are in {plan.directory / 'logs'}")
    return 1


async def _until_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Run the demo, or end it in good order at the first signal; later ones change nothing."""
    demo = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    signalled: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        if not signalled:
            signalled.append(number)
            demo.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    try:
        return await demo
    except asyncio.CancelledError:
        if not signalled:
            raise
        console.print(f"stopped by {signalled[0].name}: everything that was started has been ended")
        return 128 + signalled[0]


async def _demo(plan: Plan, rooms: dict[str, str], seconds: float) -> int:
    started_s = time.monotonic()
    async with Processes(plan.directory / "logs") as processes:
        peer = await _start(plan, processes)
        console.print(f"up after {time.monotonic() - started_s:.0f} s; {len(rooms)} rooms for {seconds:.0f} s")
        usages = await _run_rooms(plan, processes, rooms, seconds)
        usages = await _settle(plan, processes, usages)
        await processes.stop("serve", STOP_GRACE_S)
        await processes.stop("ray", STOP_GRACE_S)
        backend = await peer.totals_nanousd()
    return _conclude(plan, list(rooms), seconds, usages, backend)


async def _start(plan: Plan, processes: Processes) -> BackendPeer:
    binary = await asyncio.to_thread(find_livekit_server, plan.root)
    console.print("starting livekit-server, the tRPC backend, Ray Serve and the room agent")
    await stage.start_livekit(plan, binary, processes)
    peer = await stage.start_backend(plan, processes)
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.start_app(plan, processes, peer), name="app")
        group.create_task(stage.start_agent(plan, processes), name="agent")
    return peer


async def _run_rooms(plan: Plan, processes: Processes, rooms: dict[str, str], seconds: float) -> dict[str, Any]:
    """Dispatch an agent to every room, let the publishers share their screens, and show what happens meanwhile."""
    async with api.LiveKitAPI(plan.livekit_url, plan.livekit_key, plan.livekit_secret) as lk:
        for room, tenant in rooms.items():
            await _dispatch(lk, room, tenant)
        await _start_publisher(plan, processes, list(rooms), seconds)
        usages = await _show(plan, processes, seconds)
        await processes.stop("publisher", STOP_GRACE_S)
        for room in rooms:
            async with asyncio.timeout(STOP_GRACE_S):
                await lk.room.delete_room(api.DeleteRoomRequest(room=room))
    await processes.stop("agent", STOP_GRACE_S)
    return usages


async def _dispatch(lk: api.LiveKitAPI, room: str, tenant: str) -> None:
    metadata = json.dumps({"tenant_id": tenant})
    request = api.CreateAgentDispatchRequest(agent_name="rayroom", room=room, metadata=metadata)
    async with asyncio.timeout(STOP_GRACE_S):
        await lk.agent_dispatch.create_dispatch(request)


async def _start_publisher(plan: Plan, processes: Processes, rooms: list[str], seconds: float) -> None:
    command = [sys.executable, "-m", "cluster.demo.publisher", "--url", plan.livekit_url, "--tokens-stdin"]
    command += ["--rooms", ",".join(rooms), "--fps", str(FRAMES_PER_SECOND), "--seconds", str(seconds + 5)]
    publisher = await processes.start("publisher", command, talks=True)
    tokens = {room: _participant_token(plan, room) for room in rooms}
    assert publisher.stdin is not None
    publisher.stdin.write(json.dumps(tokens).encode() + b"\n")
    async with asyncio.timeout(STOP_GRACE_S):
        await publisher.stdin.drain()


def _participant_token(plan: Plan, room: str) -> str:
    grants = api.VideoGrants(room_join=True, room=room, can_publish=True, can_subscribe=True)
    token = api.AccessToken(plan.livekit_key, plan.livekit_secret).with_identity(f"presenter-{room}")
    return token.with_grants(grants).with_ttl(dt.timedelta(hours=1)).to_jwt()


async def _show(plan: Plan, processes: Processes, seconds: float) -> dict[str, Any]:
    """Draw the table once a second until the time is over; returns what it last showed."""
    usages: dict[str, Any] = {}
    end_s = time.monotonic() + seconds
    async with _admin(plan) as http:
        with Live(console=console, refresh_per_second=2, transient=False) as live:
            while (left_s := end_s - time.monotonic()) > 0:
                processes.check()
                usages = await _usages(http, usages)
                live.update(table.draw(usages, left_s))
                await asyncio.sleep(min(1.0, left_s))
            live.update(table.draw(usages, 0.0))
    if not console.is_terminal:
        # Into a file rich writes the last picture only, and no line end behind it.
        console.line()
    return usages


def _admin(plan: Plan) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {plan.admin_key}"}
    return httpx.AsyncClient(base_url=plan.router_url, headers=headers, timeout=5.0)


async def _usages(http: httpx.AsyncClient, before: dict[str, Any]) -> dict[str, Any]:
    """Return each tenant's usage; a tenant that does not answer now keeps what it showed before."""
    usages = dict(before)
    for tenant in TENANTS:
        with contextlib.suppress(httpx.HTTPError):
            response = await http.get(f"/v1/tenants/{tenant}/usage")
            if response.is_success:
                usages[tenant] = response.json()
    return usages


async def _settle(plan: Plan, processes: Processes, shown: dict[str, Any]) -> dict[str, Any]:
    """Wait until every settled cost is at the backend; returns the last totals, with the rooms as last shown."""
    end_s = time.monotonic() + SETTLE_TIMEOUT_S
    async with _admin(plan) as http:
        usages = await _usages(http, shown)
        while time.monotonic() < end_s and any(_unsent(usage) for usage in usages.values()):
            processes.check()
            await asyncio.sleep(0.5)
            usages = await _usages(http, usages)
    return {tenant: usage | {"rooms": shown.get(tenant, {}).get("rooms", [])} for tenant, usage in usages.items()}


def _unsent(usage: dict[str, Any]) -> bool:
    return bool(usage["reserved_nanousd"]) or usage["settled_nanousd"] != usage["sent_nanousd"]


def _conclude(plan: Plan, rooms: list[str], seconds: float, usages: dict[str, Any], backend: dict[str, int]) -> int:
    """Print the reconciliation, write what the run leaves behind, and return the exit status."""
    rows = reconcile.reconcile(reconcile.journal_totals(plan.journal), backend)
    left_open = reconcile.open_intents(plan.journal)
    equal = bool(rows) and all(row.equal for row in rows) and left_open == 0
    console.print("reconciliation, in dollars of simulated spend")
    for row in rows:
        journal, billed = reconcile.dollars(row.journal_nanousd), reconcile.dollars(row.backend_nanousd)
        console.print(
            f"  {row.tenant_id:8} journal {journal}  backend {billed}  {'equal' if row.equal else 'DIFFERENT'}"
        )
    if left_open:
        console.print(f"  {left_open} attempts were never settled")
    if not rows:
        console.print("  nothing was billed at all")
    run = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "simulated": True,
        "seconds": seconds,
        "equal": equal,
        "reconciliation": [
            {"tenant": r.tenant_id, "journal_nanousd": r.journal_nanousd, "backend_nanousd": r.backend_nanousd}
            for r in rows
        ],
        "tenants": usages,
    }
    sheets = report.write_report(plan.directory, run, rooms)
    console.print(f"left in {plan.directory}: run.json and {len(sheets)} contact sheets")
    return 0 if equal else 1
