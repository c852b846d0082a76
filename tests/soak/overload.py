"""`make overload`: three times the capacity of a router replica, and what becomes of it.

The app is a gateway in this process behind a real HTTP server, with simulated vendors and a real journal; with `--ray`
it is the whole app on a Ray cluster, with one replica of each deployment and a tRPC backend. One tenant floods it with
frames while another tenant's rooms send heartbeats. Judged are: refusals come early, the accepted frames stay as fast
as before, no heartbeat of the other tenant fails, and the refusals end soon after the flood.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from deployments.common.settings import SimulationSettings
from routing.fairness import FairnessSettings
from routing.latency import percentile
from routing.process import LEVEL
from tests.support.credentials import FRAME_HEADERS, room_token
from tests.support.gateway import gateway_in_process, jpeg, served
from tests.support.stack import ONE_REPLICA, running_stack

SLOTS = 16
PROFILE = {"first_token_ms": 300.0, "sigma": 0.2, "tail_share": 0.0, "tokens_per_s": 100.0}
"""Of both models that the gateway asks, so that the capacity is known before the run: about a second an answer."""
MODELS = ("gemini-3.5-flash-lite", "gpt-6-luna", "claude-sonnet-5-5")
SIMULATION: dict[str, Any] = {"profiles": {name: PROFILE for name in MODELS}}
FAIRNESS = FairnessSettings(slots=SLOTS)
TIMES = 3.0
BASE_SHARE = 0.5
FRAMES_ROOM = "tenant_acme_standup"
HEARTBEAT_ROOMS = tuple(f"tenant_globex_room{number}" for number in range(10))
SLOW_REFUSAL_S, SLOWER, RECOVERY_S = 0.5, 1.5, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadedApp:
    """A running app, and the tokens of its rooms."""

    url: str
    tokens: dict[str, str] = field(repr=False)

    def headers(self, room: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[room]}"}


@dataclass(slots=True)
class Outcomes:
    """The seconds of accepted and of refused requests, and the number of other failures."""

    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    failed: int = 0

    def add(self, status: int, seconds: float) -> None:
        if status == 200:
            self.accepted_s.append(seconds)
        elif status in (429, 503):
            self.refused_s.append(seconds)
        else:
            self.failed += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadResult:
    """The figures of a run."""

    capacity_per_s: float
    base: Outcomes
    flood: Outcomes
    heartbeats: Outcomes
    recovered_after_s: float

    def problems(self) -> list[str]:
        """Return each goal that was missed."""
        slower = p95(self.flood.accepted_s) / p95(self.base.accepted_s)
        checks = {
            "nothing was refused: the load was no overload": bool(self.flood.refused_s),
            f"p95 of refusals above {SLOW_REFUSAL_S} s": p95(self.flood.refused_s) <= SLOW_REFUSAL_S,
            f"accepted frames {slower:.1f} times as slow": slower <= SLOWER,
            "requests failed otherwise": not self.base.failed + self.flood.failed,
            "heartbeats of the other tenant were lost": not self.heartbeats.refused_s and not self.heartbeats.failed,
            "refusals went on after the flood": self.recovered_after_s <= RECOVERY_S,
        }
        return [problem for problem, holds in checks.items() if not holds]


def p95(seconds: Sequence[float]) -> float:
    return percentile(sorted(seconds), 0.95) if seconds else 0.0


def main() -> int:
    """Return 1 where a goal was missed."""
    parser = argparse.ArgumentParser(description="Send three times the capacity of a router replica.")
    parser.add_argument("--seconds", type=float, default=30.0, help="the length of the flood")
    parser.add_argument("--ray", action="store_true", help="flood the whole app on a Ray cluster")
    options = parser.parse_args()
    os.environ[LEVEL] = "CRITICAL"
    result = asyncio.run(overload(_app_on_ray() if options.ray else _app_in_process(), options.seconds))
    flood = result.flood
    total = len(flood.accepted_s) + len(flood.refused_s)
    print(f"capacity            {result.capacity_per_s:.1f} frames a second; the flood is {TIMES:g} times that")
    print(f"refused             {len(flood.refused_s)} of {total}, p95 {1_000 * p95(flood.refused_s):.0f} ms")
    print(f"accepted p95        {p95(result.base.accepted_s):.2f} s before, {p95(flood.accepted_s):.2f} s in the flood")
    beats = result.heartbeats
    print(f"other's heartbeats  {len(beats.accepted_s)} answered, {len(beats.refused_s) + beats.failed} lost,"
          f" p95 {1_000 * p95(beats.accepted_s):.0f} ms")  # fmt: skip
    print(f"recovered           {result.recovered_after_s:.1f} s after the flood")
    problems = result.problems()
    for problem in problems:
        print(f"MISSED: {problem}")
    return 1 if problems else 0


async def overload(running: AbstractAsyncContextManager[OverloadedApp], flood_s: float) -> OverloadResult:
    """Drive half of the capacity, then three times of it, then half again; return the figures."""
    async with running as app, _http() as http:
        capacity_per_s = await _capacity(http, app, SLOTS - FAIRNESS.reserve)
        heartbeats, ended = Outcomes(), asyncio.Event()
        beating = asyncio.create_task(_heartbeats(http, app, heartbeats, ended))
        base, flood = Outcomes(), Outcomes()
        await _frames(http, app, BASE_SHARE * capacity_per_s, flood_s / 2, base)
        await _frames(http, app, TIMES * capacity_per_s, flood_s, flood)
        recovered_after_s = await _recovery(http, app, BASE_SHARE * capacity_per_s)
        ended.set()
        await beating
    return OverloadResult(
        capacity_per_s=capacity_per_s,
        base=base,
        flood=flood,
        heartbeats=heartbeats,
        recovered_after_s=recovered_after_s,
    )


@asynccontextmanager
async def _app_in_process() -> AsyncIterator[OverloadedApp]:
    simulation = SimulationSettings.model_validate(SIMULATION)
    with tempfile.TemporaryDirectory(prefix="overload-") as directory:
        running = gateway_in_process(Path(directory), simulation=simulation, fairness=FAIRNESS)
        async with running as (gateway, _), served(gateway) as url:
            rooms = (FRAMES_ROOM, *HEARTBEAT_ROOMS)
            yield OverloadedApp(url=url, tokens={room: room_token(room, ttl_s=3_600.0) for room in rooms})


@asynccontextmanager
async def _app_on_ray() -> AsyncIterator[OverloadedApp]:
    scaling: dict[str, Any] = {name: ONE_REPLICA for name in ("router", "vision", "llm", "embeddings")}
    args = {"simulation": SIMULATION, "fairness": {"slots": SLOTS}, "scaling": scaling}
    running = running_stack("app", args)
    stack = await asyncio.to_thread(running.__enter__)
    try:
        tokens = {room: await stack.open_room(room) for room in (FRAMES_ROOM, *HEARTBEAT_ROOMS)}
        yield OverloadedApp(url=stack.plan.router_url, tokens=tokens)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60), raise_for_status=False
    )


async def _capacity(http: aiohttp.ClientSession, app: OverloadedApp, slots: int) -> float:
    """Return the frames a second that `slots` requests at a time make."""
    measured = Outcomes()
    started_s = time.monotonic()
    for _ in range(3):
        await asyncio.gather(*(_frame(http, app, measured) for _ in range(slots)))
    return len(measured.accepted_s) / (time.monotonic() - started_s)


async def _frames(
    http: aiohttp.ClientSession, app: OverloadedApp, per_s: float, seconds: float, into: Outcomes
) -> None:
    """Send frames at their times, whether or not earlier ones have been answered."""
    started_s, tasks = time.monotonic(), []
    for number in range(round(per_s * seconds)):
        await asyncio.sleep(max(0.0, started_s + number / per_s - time.monotonic()))
        tasks.append(asyncio.create_task(_frame(http, app, into)))
    await asyncio.gather(*tasks)


async def _frame(http: aiohttp.ClientSession, app: OverloadedApp, into: Outcomes) -> None:
    headers = FRAME_HEADERS | app.headers(FRAMES_ROOM)
    started_s = time.monotonic()
    async with http.post(f"{app.url}/v1/frames", data=_PICTURE, headers=headers) as response:
        await response.read()
    into.add(response.status, time.monotonic() - started_s)


async def _recovery(http: aiohttp.ClientSession, app: OverloadedApp, per_s: float) -> float:
    """Return the seconds until a whole second passes without a refusal; infinity after twice the allowed time."""
    for second in range(round(2 * RECOVERY_S)):
        outcomes = Outcomes()
        await _frames(http, app, per_s, 1.0, outcomes)
        if not outcomes.refused_s and not outcomes.failed:
            return float(second)
    return float("inf")


async def _heartbeats(http: aiohttp.ClientSession, app: OverloadedApp, into: Outcomes, ended: asyncio.Event) -> None:
    async def beat(room: str) -> None:
        started_s = time.monotonic()
        beating = http.post(f"{app.url}/v1/rooms/{room}/heartbeat", json={"counters": {}}, headers=app.headers(room))
        async with beating as response:
            await response.read()
        into.add(response.status, time.monotonic() - started_s)

    while not ended.is_set():
        await asyncio.gather(*map(beat, HEARTBEAT_ROOMS))
        await asyncio.wait({asyncio.ensure_future(ended.wait())}, timeout=1.0)


_PICTURE = jpeg(320, 180)


if __name__ == "__main__":
    sys.exit(main())
