"""Measure requests a second through the whole path, with billing and without: HTTP, router, handle, vision, back."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from routing.latency import percentile
from tests.benchmarks.machine import machine_is_busy
from tests.support.credentials import FRAME_HEADERS
from tests.support.gateway import jpeg
from tests.support.stack import Stack, running_stack

WARM_UP_S = 4.0
CONNECTIONS = (1, 64)
# At this speed the simulated vendor takes no time, so that only rayroom's time is measured.
INSTANT: dict[str, dict[str, Any]] = {
    "simulation": {"seed": 7, "speed": 1_000_000.0},
    "vision": {"max_output_tokens": 20},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one load."""

    requests_per_s: float
    p50_ms: float
    p95_ms: float
    errors: int


def run(seconds: float) -> dict[str, Figures]:
    """Return the figures of each application at each number of connections."""
    figures = {}
    for name, import_path in (("bill on", None), ("bill off", "tests.benchmarks.unbilled:build")):
        with running_stack("app", INSTANT, import_path) as stack:
            token = asyncio.run(stack.open_room("tenant_acme_bench"))
            load(stack, token, 8, WARM_UP_S)
            for connections in CONNECTIONS:
                figures[f"{name}, {connections}"] = load(stack, token, connections, seconds)
    return figures


def load(stack: Stack, token: str, connections: int, seconds: float) -> Figures:
    """Keep `connections` requests in flight from a separate process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_load, (stack.plan.router_url, token, connections, seconds))


def _load(url: str, token: str, connections: int, seconds: float) -> Figures:
    return asyncio.run(_drive(url, token, connections, seconds))


async def _drive(url: str, token: str, connections: int, seconds: float) -> Figures:
    headers = {**FRAME_HEADERS, "authorization": f"Bearer {token}"}
    body, times, errors = jpeg(1_024, 576), list[float](), 0
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector) as http:
        end_s = time.monotonic() + seconds

        async def send_requests() -> None:
            nonlocal errors
            while (started_s := time.monotonic()) < end_s:
                async with http.post("/v1/frames", data=body) as response:
                    await response.read()
                errors += response.status != 200
                times.append(time.monotonic() - started_s)

        await asyncio.gather(*(send_requests() for _ in range(connections)))
    times.sort()
    p50_ms, p95_ms = (1_000 * percentile(times, share) for share in (0.5, 0.95))
    return Figures(requests_per_s=len(times) / seconds, p50_ms=p50_ms, p95_ms=p95_ms, errors=errors)


def main() -> int:
    """Print the table; return 1 if a request failed, 2 if the machine is too busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    options = parser.parse_args()
    if machine_is_busy(options.force):
        return 2
    figures = run(options.seconds)
    table = Table("frames, simulated vendor that takes no time", "requests/s", "p50 ms", "p95 ms", "errors")
    for name, row in figures.items():
        numbers = (f"{row.requests_per_s:.0f}", f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}", str(row.errors))
        table.add_row(f"{name} connections", *numbers)
    Console().print(table)
    for connections in CONNECTIONS:
        on, off = figures[f"bill on, {connections}"], figures[f"bill off, {connections}"]
        print(
            f"{connections} connections: the bill adds {on.p50_ms - off.p50_ms:.1f} ms to the median;"
            f" requests/s on/off {on.requests_per_s / off.requests_per_s:.2f}"
        )
    return 1 if any(row.errors for row in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
