"""End a load gracefully at the first signal, and everything at the next one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from cluster.lab.load.options import console
from routing.errors import RayroomError


class InterruptSignals:
    """The first Ctrl-C ends the load gracefully, and the report is written; the next one ends everything.

    While no load runs, the first one ends everything.
    """

    def __init__(self) -> None:
        self.work: asyncio.Task[int] | None = None
        self._ended: asyncio.Event | None = None
        self.last_signal: signal.Signals | None = None

    @contextmanager
    def graceful(self, ended: asyncio.Event) -> Iterator[None]:
        """Let the first signal inside the `with` block set `ended`."""
        self._ended = ended
        try:
            yield
        finally:
            self._ended = None

    def receive(self, number: signal.Signals) -> None:
        self.last_signal = number
        if self._ended is not None and not self._ended.is_set():
            self._ended.set()
        elif self.work is not None:
            self.work.cancel()


def run_until_interrupted(work: Callable[[InterruptSignals], Coroutine[Any, Any, int]]) -> int:
    """Run the work until it ends or a signal ends it; raises the exceptions of the work."""
    return asyncio.run(_signalled(work))


async def _signalled(work: Callable[[InterruptSignals], Coroutine[Any, Any, int]]) -> int:
    loop, signals = asyncio.get_running_loop(), InterruptSignals()
    task = signals.work = asyncio.create_task(work(signals))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, signals.receive, number)
    try:
        return await task
    except asyncio.CancelledError:
        if signals.last_signal is None:
            raise
        console.print(
            f"stopped by {signals.last_signal.name}: everything that was started has been ended, and no report written"
        )
        return 128 + signals.last_signal
    except BaseExceptionGroup as group:
        # Of tasks that run at the same time, the first failure names the cause.
        errors, others = group.split(RayroomError)
        if errors is None or others is not None:
            raise
        raise _first_error(errors) from None


def _first_error(group: BaseExceptionGroup[RayroomError]) -> RayroomError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, RayroomError)
    return error
