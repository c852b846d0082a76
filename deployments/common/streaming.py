"""Join the deltas of a stream that arrive close together, and bound the wait for the first."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from routing.deltas import joined_delta
from routing.errors import ProviderTimeout
from routing.models import Delta

WINDOW_S = 0.025
"""Each delta through a Serve handle costs about a millisecond; a reader does not notice 25 ms of delay."""
_NEXT_SENTENCE = re.compile(r"[.!?][\"')]*\s+\S")
_ENDING_CHARS = 8


async def coalesce(deltas: AsyncGenerator[Delta, None], window_s: float = WINDOW_S) -> AsyncGenerator[Delta, None]:
    """Yield `deltas`, the first at once and then those of one window joined; none waits longer than `window_s`.

    A sentence leaves as soon as the next one begins, because speech synthesis waits for whole sentences. Deltas that
    arrived before the source failed are yielded before its error: they are billed, so the reader gets them. The
    buffer for a slow reader is bounded by the answer's length.
    """
    held: list[Delta] = []
    arrived, hurried = asyncio.Event(), asyncio.Event()

    async def pump() -> None:
        # One task reads the whole source: a task and a timer for each delta would cost more than the delta.
        ending = ""
        async with aclosing(deltas):
            async for delta in deltas:
                held.append(delta)
                arrived.set()
                ending += delta.text
                if _NEXT_SENTENCE.search(ending):
                    hurried.set()
                    ending = ""
                ending = ending[-_ENDING_CHARS:]

    def ended(_: asyncio.Task[None]) -> None:
        arrived.set()
        hurried.set()

    pumping = asyncio.create_task(pump())
    pumping.add_done_callback(ended)
    try:
        while not pumping.done() or held:
            await arrived.wait()
            arrived.clear()
            if held:
                joined = joined_delta(held)
                held.clear()
                hurried.clear()
                yield joined
                if not pumping.done():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(window_s):
                            await hurried.wait()
                arrived.set()
        await pumping
    finally:
        await end(pumping)


async def first_within(deltas: AsyncGenerator[Delta, None], timeout_s: float | None) -> AsyncGenerator[Delta, None]:
    """Yield `deltas`, the first of them within `timeout_s`; raises ProviderTimeout."""
    async with aclosing(deltas):
        try:
            async with asyncio.timeout(timeout_s):
                first = await anext(deltas)
        except TimeoutError:
            raise ProviderTimeout("The first token did not come in time.") from None
        yield first
        async for delta in deltas:
            yield delta


def is_being_cancelled() -> bool:
    """Return whether somebody cancels the running task.

    Ray Serve raises CancelledError too where a replica's task was cancelled, and nobody waits for that one's answer.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def end(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait for its end; its exception is retrieved, or asyncio would log it as never retrieved."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
