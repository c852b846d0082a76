"""`rayroom demo`: start the whole system, run the rooms, stop it, and reconcile the bill."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import httpx
from livekit import api
from rich.console import Console
from rich.live import Live

from cluster.bill import reconcile
from cluster.lab.demo import live_table, voice_room
from cluster.lab.demo.samples import UsageSample
from cluster.lab.demo.summary import DemoRun, finish_demo
from cluster.lab.stack import startup
from cluster.lab.stack.backend_peer import BackendPeer
from cluster.lab.stack.livekit_server import find_livekit_server
from cluster.lab.stack.plan import HEARTBEAT_S, TENANTS, VOICE_ROOM, VOICE_TENANT, Plan, demo_rooms, planned
from cluster.lab.stack.processes import Processes
from cluster.lab.stack.rooms import STOP_GRACE_S, dispatch, start_guest, start_publisher
from routing.errors import RayroomError

SETTLE_TIMEOUT_S = 30.0
SPEAKER_MODULE = "cluster.lab.demo.speaker"
FRAMES_PER_SECOND = 5
ARGS: startup.Args = {"rooms": {"heartbeat_every_s": HEARTBEAT_S}}

console = Console(highlight=False, markup=False, soft_wrap=True)


def run_demo(seconds: float, rooms: int, directory: Path) -> int:
    """Run the demo; return 0 if the journal and the backend agree, 1 if not or if a part did not start."""
    with planned(Path.cwd(), directory) as plan:
        try:
            return asyncio.run(_until_signalled(_demo(plan, demo_rooms(rooms), seconds)))
        except* RayroomError as errors:
            for error in errors.exceptions:
                console.print(f"{getattr(error, 'code', 'error')}: {error}", style="red")
            console.print(f"The logs are in {plan.directory / 'logs'}")
    return 1


async def _until_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Run the demo, or stop it gracefully at the first signal; later signals are ignored."""
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
        peer = await _start(plan, processes, seconds)
        console.print(
            f"up after {time.monotonic() - started_s:.0f} s; {len(rooms)} rooms and one that talks for {seconds:.0f} s"
        )
        started_at_s = time.time()
        samples, speaker_counts = await _run_rooms(plan, processes, rooms, seconds)
        usages = await _settle(plan, processes, samples[-1].usages)
        await processes.stop("serve", STOP_GRACE_S)
        await processes.stop("ray", STOP_GRACE_S)
        run = DemoRun(
            started_at_s=started_at_s,
            seconds=seconds,
            rooms=rooms,
            samples=samples,
            usages=usages,
            voice=voice_room.conversation(usages, speaker_counts),
            vendor_speech=reconcile.vendor_units(await voice_room.emulator_journal(plan)),
            backend_totals=await peer.totals_nanousd(),
            backend_speech=reconcile.backend_speech_totals(
                [event for tenant in TENANTS for event in await peer.events(tenant)]
            ),
        )
    return finish_demo(plan, run, console)


async def _start(plan: Plan, processes: Processes, seconds: float) -> BackendPeer:
    binary = await asyncio.to_thread(find_livekit_server, plan.root)
    console.print("starting livekit-server, the tRPC backend, the vendors' emulator, Ray Serve and the room agent")
    await startup.start_livekit(plan, binary, processes)
    peer = await startup.start_backend(plan, processes)
    environment = await startup.start_ray(plan, processes)
    async with asyncio.TaskGroup() as group:
        group.create_task(startup.start_app(plan, processes, peer, environment, ARGS), name="app")
        group.create_task(startup.start_agent(plan, processes, voice_room.agent_environment(plan)), name="agent")
        group.create_task(voice_room.start_emulator(plan, processes, seconds), name="emulator")
    return peer


async def _run_rooms(
    plan: Plan, processes: Processes, rooms: dict[str, str], seconds: float
) -> tuple[list[UsageSample], dict[str, int]]:
    """Dispatch an agent to every room, start the guests, and draw the live table.

    Returns the usage second by second, and the counts of the speaker.
    """
    all_rooms = rooms | {VOICE_ROOM: VOICE_TENANT}
    async with api.LiveKitAPI(plan.livekit_url, plan.livekit_key, plan.livekit_secret) as lk:
        for room, tenant in all_rooms.items():
            await dispatch(lk, room, tenant)
        speaker = await start_guest(plan, processes, "talker", SPEAKER_MODULE, [VOICE_ROOM], seconds)
        await start_publisher(plan, processes, list(rooms), seconds, FRAMES_PER_SECOND)
        samples = await _show(plan, processes, seconds)
        await processes.stop("talker", STOP_GRACE_S)
        await processes.stop("publisher", STOP_GRACE_S)
        for room in all_rooms:
            await _delete_room(lk, room)
    await processes.stop("agent", STOP_GRACE_S)
    return samples, await voice_room.read_speaker_counts(speaker)


async def _delete_room(lk: api.LiveKitAPI, room: str) -> None:
    async with asyncio.timeout(STOP_GRACE_S):
        try:
            await lk.room.delete_room(api.DeleteRoomRequest(room=room))
        except api.ServerError as error:
            # The server has closed the room itself, because its last participant lost the connection.
            if error.code != api.ServerErrorCode.NOT_FOUND:
                raise


async def _show(plan: Plan, processes: Processes, seconds: float) -> list[UsageSample]:
    """Draw the table once a second until the time is over; return its usages, at least one."""
    usages: dict[str, Any] = {}
    samples: list[UsageSample] = []
    end_s = time.monotonic() + seconds
    async with _admin(plan) as http:
        with Live(console=console, refresh_per_second=2, transient=False) as live:
            while (remaining_s := end_s - time.monotonic()) > 0:
                processes.check()
                usages = await _usages(http, usages)
                samples.append(UsageSample(at_s=time.time(), usages=usages))
                live.update(live_table.draw(usages, remaining_s))
                await asyncio.sleep(min(1.0, remaining_s))
            live.update(live_table.draw(usages, 0.0))
    if not console.is_terminal:
        # To a file, rich writes only the last state, without a final newline.
        console.line()
    return samples


def _admin(plan: Plan) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {plan.admin_key}"}
    return httpx.AsyncClient(base_url=plan.router_url, headers=headers, timeout=5.0)


async def _usages(http: httpx.AsyncClient, previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return each tenant's usage; a tenant without an answer keeps its previous one."""
    usages = dict(previous)
    for tenant in TENANTS:
        with contextlib.suppress(httpx.HTTPError):
            response = await http.get(f"/v1/tenants/{tenant}/usage")
            if response.is_success:
                usages[tenant] = response.json()
    return usages


async def _settle(plan: Plan, processes: Processes, last_usages: Mapping[str, Any]) -> dict[str, Any]:
    """Wait until every settled cost is at the backend; return the last totals with the last known rooms."""
    end_s = time.monotonic() + SETTLE_TIMEOUT_S
    async with _admin(plan) as http:
        usages = await _usages(http, last_usages)
        while time.monotonic() < end_s and any(_unsent(usage) for usage in usages.values()):
            processes.check()
            await asyncio.sleep(0.5)
            usages = await _usages(http, usages)
    return {tenant: usage | {"rooms": last_usages.get(tenant, {}).get("rooms", [])} for tenant, usage in usages.items()}


def _unsent(usage: dict[str, Any]) -> bool:
    return bool(usage["reserved_nanousd"]) or usage["settled_nanousd"] != usage["sent_nanousd"]
