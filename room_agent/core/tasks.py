"""Says why a task ended that should not have, and ends tasks. Knows no room."""

from __future__ import annotations

import asyncio

import structlog

log = structlog.get_logger()


def say_why_it_ended(task: asyncio.Task[None]) -> None:
    """Tell of a failure by its kind alone: what went wrong in a conversation may hold words of it."""
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        log.error("a task of the conversation failed", task=task.get_name(), error=type(error).__name__)


def say_where_it_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a task of the room failed", task=task.get_name(), error=type(error).__name__, exc_info=error)


async def cancel(tasks: set[asyncio.Task[None]], timeout_s: float) -> None:
    """Cancel tasks, but for the one that asks for it, and wait until they have ended."""
    tasks = {task for task in tasks if task is not asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s)
