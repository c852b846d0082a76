"""An owner's tasks leave its set when they end, log their failures, and end with the owner."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from room_agent.core.tasks import OwnedTasks, cancel, log_task_end, log_task_traceback


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("secret words of a participant")


async def test_a_task_leaves_the_set_when_it_ends() -> None:
    tasks = OwnedTasks()
    task = tasks.start(asyncio.sleep(0), "short")
    assert (len(tasks), task.get_name()) == (1, "short")
    await task
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_closing_cancels_every_task_and_waits_for_its_clean_up() -> None:
    ended: list[str] = []

    async def wait_and_clean_up(name: str) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    tasks = OwnedTasks()
    running = [tasks.start(wait_and_clean_up(name), name) for name in ("a", "b")]
    await asyncio.sleep(0)
    await tasks.aclose(5.0)
    assert sorted(ended) == ["a", "b"] and all(task.cancelled() for task in running)
    await tasks.aclose(5.0)


async def test_a_wait_ends_with_the_tasks_or_with_its_time_and_cancels_none() -> None:
    tasks = OwnedTasks()
    short, long = tasks.start(asyncio.sleep(0), "short"), tasks.start(forever(), "long")
    await tasks.wait(0.01)
    assert short.done() and not long.done() and len(tasks) == 1
    await tasks.aclose(5.0)
    await tasks.wait(5.0)


async def test_a_task_that_closes_its_owner_is_not_cancelled() -> None:
    tasks, closed = OwnedTasks(), asyncio.Event()

    async def close() -> None:
        await tasks.aclose(5.0)
        closed.set()

    waiting = tasks.start(forever(), "waiting")
    await tasks.start(close(), "closing")
    assert closed.is_set() and waiting.cancelled()


async def test_closing_stops_waiting_for_a_task_that_does_not_end() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    tasks = OwnedTasks()
    task = tasks.start(stubborn(), "stubborn")
    await asyncio.sleep(0)
    await tasks.aclose(0.01)
    assert not task.done()
    release.set()
    await task


@pytest.mark.parametrize("with_traceback", [False, True])
async def test_a_failure_is_logged_by_its_type_and_with_its_traceback_only_on_request(with_traceback: bool) -> None:
    tasks = OwnedTasks(log_task_traceback) if with_traceback else OwnedTasks()
    with capture_logs() as log_lines:
        task = tasks.start(fail(), "answer")
        await asyncio.wait({task})
        await asyncio.sleep(0)
    (log_line,) = log_lines
    assert (log_line["event"], log_line["task"], log_line["error"]) == ("task failed", "answer", "ValueError")
    assert ("exc_info" in log_line) is with_traceback
    assert with_traceback or "secret" not in str(log_line)


async def test_a_cancelled_task_logs_nothing() -> None:
    tasks = OwnedTasks()
    with capture_logs() as log_lines:
        tasks.start(forever(), "waiting")
        await asyncio.sleep(0)
        await tasks.aclose(5.0)
        cancelled = asyncio.create_task(forever())
        cancelled.cancel()
        await asyncio.wait({cancelled})
        log_task_end(cancelled)
        log_task_traceback(cancelled)
    assert log_lines == []


async def test_cancelling_no_tasks_returns_at_once() -> None:
    await cancel([], 0.0)
