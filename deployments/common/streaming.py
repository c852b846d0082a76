"""Shapes a stream of deltas: joins those that come close together, bounds the wait for the first. Knows no vendor."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from routing.errors import ProviderTimeout
from routing.models import Delta

T = TypeVar("T")
Legs = dict[asyncio.Future[T], AsyncGenerator[T, None]]

WINDOW_S = 0.025
"""Fifty single deltas through a handle cost fifty milliseconds; a reader does not see twenty-five."""
_NEXT_SENTENCE = re.compile(r"[.!?][\"')]*\s+\S")
_ENDING_CHARS = 8


async def coalesce(deltas: AsyncGenerator[Delta, None], window_s: float = WINDOW_S) -> AsyncGenerator[Delta, None]:
    """Yield `deltas`, the first at once and then those of one window joined; none waits longer than `window_s`.

    A sentence leaves as soon as the next one begins: a voice that reads it aloud waits for that and no more.
    What the source gave before it failed comes first: it is heard, and so it is billed. An answer's length bounds
    what is held for a slow reader.
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
                joined = _joined(held)
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
        pumping.cancel()
        await _ended(pumping)


def _joined(deltas: list[Delta]) -> Delta:
    return Delta(text="".join(delta.text for delta in deltas), finish=deltas[-1].finish, usage=deltas[-1].usage)


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


async def raced(
    first: AsyncGenerator[T, None], second: Callable[[], AsyncGenerator[T, None] | None], after_s: float
) -> AsyncGenerator[T, None]:
    """Yield the pieces of whichever yields first: `first`, or what `second()` starts when nothing came for `after_s`.

    The loser is closed while the winner goes on, and has ended before the winner's second piece is asked for.
    """
    legs: Legs[T] = {asyncio.ensure_future(anext(first)): first}
    try:
        done, _ = await asyncio.wait(legs, timeout=after_s)
        if not done and (other := second()) is not None:
            legs[asyncio.ensure_future(anext(other))] = other
        winner, piece = await _first_piece(legs)
        async with aclosing(winner):
            closing = asyncio.create_task(_close(legs))
            try:
                yield piece
            finally:
                await _ended(closing)
            async for piece in winner:
                yield piece
    finally:
        await _close(legs)


async def _first_piece(legs: Legs[T]) -> tuple[AsyncGenerator[T, None], T]:
    """Return the leg that yielded first, taken out of `legs`, and its piece; raises the last error when all failed."""
    while True:
        done, _ = await asyncio.wait(legs, return_when=asyncio.FIRST_COMPLETED)
        for coming in done:
            leg = legs.pop(coming)
            try:
                return leg, coming.result()
            except Exception:
                if not legs:
                    raise


async def _close(legs: Legs[T]) -> None:
    """End every leg that has not yielded yet, and wait until it has."""
    while legs:
        coming, leg = legs.popitem()
        coming.cancel()
        await _ended(coming)
        await leg.aclose()


async def _ended(given_up: asyncio.Future[T]) -> None:
    """Wait for the end of what nobody wants the result of any more, and take note of how it failed: asyncio asks to."""
    await asyncio.wait({given_up})
    if not given_up.cancelled():
        given_up.exception()
