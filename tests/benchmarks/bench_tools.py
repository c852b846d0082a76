"""Time a call of an MCP server's tool as the router makes it: connected, listed, called and closed.

`python -m tests.benchmarks.bench_tools` starts the official package's server in a process of its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path

from deployments.common.settings import ToolSettings
from deployments.tools.credentials import Credentials
from deployments.tools.mcp_connection import McpServers
from routing.tools.models import ToolInvocation
from tests.support.tool_servers import OrderServer

ROUNDS, WARM_UP = 100, 10
LIFE_S = 120.0
STEPS = ("connect", "list", "call", "close")


def serve(urls: Queue[str]) -> None:
    """Run the server until the process is ended."""

    async def run() -> None:
        async with OrderServer().running() as shop:
            urls.put(shop.url)
            await asyncio.sleep(LIFE_S)

    asyncio.run(run())


async def measure(url: str, directory: Path) -> None:
    """Print the time of each step, of all, and the processor time of the router's side."""
    connect = McpServers(ToolSettings(internal_hosts=("127.0.0.1",)), Credentials(directory))
    call = ToolInvocation(
        tenant_id="acme", room="r", participant="ann", tool="order_status", arguments={"order": 5}, call_id="c"
    )
    steps_s: dict[str, list[float]] = {step: [] for step in (*STEPS, "all", "processor")}
    for _ in range(ROUNDS + WARM_UP):
        cpu_s, times_s = time.process_time(), [time.perf_counter()]
        async with connect("acme", url, "") as connection:
            times_s.append(time.perf_counter())
            await connection.offered()
            times_s.append(time.perf_counter())
            await connection.call(call, 5.0)
            times_s.append(time.perf_counter())
        times_s.append(time.perf_counter())
        for step, start_s, end_s in zip(STEPS, times_s, times_s[1:], strict=False):
            steps_s[step].append(end_s - start_s)
        steps_s["all"].append(times_s[-1] - times_s[0])
        steps_s["processor"].append(time.process_time() - cpu_s)
    for step, values_s in steps_s.items():
        ordered = sorted(values_s[WARM_UP:])
        print(f"{step}: p50 {1e3 * statistics.median(ordered):.1f} ms, p95 {1e3 * ordered[95 * ROUNDS // 100]:.1f} ms")


def main() -> None:
    context = multiprocessing.get_context("spawn")
    urls: Queue[str] = context.Queue()
    server = context.Process(target=serve, args=(urls,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(urls.get(timeout=60.0), Path(directory)))
    server.terminate()


if __name__ == "__main__":
    main()
