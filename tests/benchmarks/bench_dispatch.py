"""Measures `rayroom dispatch` at a real livekit-server: many rooms opened at once, and a LiveKit that answers 500.

Run `python -m tests.benchmarks.bench_dispatch`. Participants and agents speak LiveKit's signalling without media. Each
room must get exactly one agent, also where LiveKit's server API fails from the moment of opening on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter

import aiohttp

from cluster.dispatch.server import WEBHOOK_PATH
from cluster.lab.stack.ports import free_ports
from routing.latency import percentile
from tests.benchmarks.machine import load_per_core, machine_is_busy
from tests.support.dispatch import FailingProxy, running_dispatch
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit, running_livekit
from tests.support.signal_participant import SignalWorker, join_by_signal

TIMEOUT_S = 180.0
LATE_S = 5.0
SETTLE_S = 10.0
"""A second agent, if there were one, would come within this time."""


async def attended_after_s(rooms: list[str], outage_s: float) -> tuple[list[float], list[str]]:
    """Open the rooms within a second; return the times until each has its agent, and the rooms with several.

    With `outage_s` LiveKit's server API fails before and for `LATE_S` after, and the times begin at its end.
    """
    (port,) = free_ports(1)
    async with contextlib.AsyncExitStack() as stack:
        livekit = stack.enter_context(running_livekit(webhook_url=f"http://127.0.0.1:{port}{WEBHOOK_PATH}"))
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        worker = await stack.enter_async_context(SignalWorker(livekit, http).registered())
        proxy = FailingProxy(livekit, failing=outage_s > 0)
        url = await stack.enter_async_context(proxy.running())
        await stack.enter_async_context(running_dispatch(livekit, port, url))
        # The SFU drops participants without media after some seconds, so they come late in the outage.
        await asyncio.sleep(max(0.0, outage_s - LATE_S))
        began_s = {room: time.monotonic() + index / len(rooms) for index, room in enumerate(rooms)}
        people = await asyncio.gather(*(_join_at(began_s[room], http, livekit, room) for room in rooms))
        if outage_s > 0:
            await asyncio.sleep(LATE_S)
            proxy.failing = False
            began_s = dict.fromkeys(rooms, time.monotonic())
        attended_s: dict[str, float] = {}

        def all_attended() -> bool:
            attended_s.update({room: time.monotonic() for room in worker.started if room not in attended_s})
            return len(attended_s) == len(rooms)

        await eventually(all_attended, TIMEOUT_S)
        await asyncio.sleep(SETTLE_S)
        for person in people:
            await person.close()
        several = [room for room, number in Counter(worker.started).items() if number > 1]
        return [attended_s[room] - began_s[room] for room in rooms], several


async def _join_at(
    at_s: float, http: aiohttp.ClientSession, livekit: LiveKit, room: str
) -> aiohttp.ClientWebSocketResponse:
    await asyncio.sleep(max(0.0, at_s - time.monotonic()))
    return await join_by_signal(http, livekit, livekit.token(room, "ann"))


def main() -> int:
    """Print the times; return 1 where a room got several agents, 2 on a busy machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=200)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds of 500 in the second part")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    options = parser.parse_args()
    if machine_is_busy(options.force):
        return 2
    wrong = 0
    for outage_s in (0.0, options.outage):
        rooms = [f"tenant_acme_crowd-{number}" for number in range(options.rooms)]
        times, several = asyncio.run(attended_after_s(rooms, outage_s))
        wrong += len(several)
        p50_s, p95_s = percentile(sorted(times), 0.5), percentile(sorted(times), 0.95)
        print(
            f"{len(rooms)} rooms, LiveKit away for {outage_s:.0f} s: attended after p50 {p50_s:.1f}, p95 {p95_s:.1f}, "
            f"last {max(times):.1f} s; rooms with several agents: {len(several)}; load {load_per_core():.1f} a core",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
