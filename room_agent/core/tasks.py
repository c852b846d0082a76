"""Starts tasks on behalf of an owner, logs their failures, and cancels them when the owner closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog

log = structlog.get_logger()


def log_task_end(task: asyncio.Task[None]) -> None:
    """Log the type of the error that ended a task, and nothing else: its text may quote a conversation."""
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        log.error("task failed", task=task.get_name(), error=type(error).__name__)


def log_task_traceback(task: asyncio.Task[None]) -> None:
    """Log the error that ended a task with its traceback. Only for tasks whose errors quote nobody."""
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        log.error("task failed", task=task.get_name(), error=type(error).__name__, exc_info=error)


class OwnedTasks:
    """The running tasks of one owner. A task leaves the set when it ends, and `log_end` receives it."""

    def __init__(self, log_end: Callable[[asyncio.Task[None]], None] = log_task_end) -> None:
        self._log_end = log_end
        # asyncio itself holds tasks weakly: without this set a waiting task may be garbage-collected.
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` in a task of that name and return the task."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(self._log_end)
        return task

    async def wait(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` until all tasks have ended; cancel none."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    async def aclose(self, timeout_s: float) -> None:
        """Cancel all tasks but the calling one, and wait at most `timeout_s` until they have ended."""
        await cancel(self._running, timeout_s)


async def cancel(tasks: Iterable[asyncio.Task[None]], timeout_s: float) -> None:
    """Cancel tasks except the calling one, and wait at most `timeout_s` until they have ended."""
    # A task that closes its own owner must not cancel itself half-way.
    others = {task for task in tasks if task is not asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=timeout_s)
