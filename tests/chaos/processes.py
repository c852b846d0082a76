"""Start, kill and stop processes that are forked from a server with every module loaded."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import TypeVar

PRELOADED = ["tests.chaos.costs_process", "tests.chaos.router_process", "tests.chaos.leaf_process"]
POLL_S = 0.01
STOP_TIMEOUT_S = 60.0

P = TypeVar("P")


class ForkServer:
    """The processes of one run. A start costs milliseconds, so that a run can afford many kills."""

    def __init__(self, log: Path) -> None:
        """`log` is the file that takes the errors and log lines of all processes."""
        self._log = log
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._started: list[ForkServerProcess] = []

    def start(self, serve: Callable[[P], None], plan: P) -> ForkServerProcess:
        """Start a process that serves `plan`."""
        process = self._context.Process(target=_serve_logged, args=(self._log, serve, plan), daemon=True)
        process.start()
        self._started.append(process)
        return process

    def kill_all(self) -> None:
        """Kill every process that runs still."""
        for process in self._started:
            if process.is_alive():
                process.kill()
                process.join()


def _serve_logged(log: Path, serve: Callable[[P], None], plan: P) -> None:
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for standard in (1, 2):
        os.dup2(opened, standard)
    serve(plan)


def send_signal(process: ForkServerProcess, number: signal.Signals) -> None:
    """Send a signal to a process that runs."""
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, number)


async def ended(process: ForkServerProcess, timeout_s: float) -> bool:
    """Wait for the end of a process; return False after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            while process.is_alive():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True


async def stop(process: ForkServerProcess, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """End a process in order; raises TimeoutError."""
    send_signal(process, signal.SIGTERM)
    if not await ended(process, timeout_s):
        raise TimeoutError(f"process {process.pid} did not end in {timeout_s:.0f} s")


async def kill(process: ForkServerProcess) -> None:
    """Kill a process and wait for its end."""
    process.kill()
    await ended(process, STOP_TIMEOUT_S)
