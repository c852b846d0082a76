"""Shapes a stream of deltas: joins those that come close together, bounds the wait for the first. Knows no vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from routing.errors import ProviderTimeout
from routing.messages import Delta

T = TypeVar("T")
Legs = dict[asyncio.Future[T], AsyncGenerator[T, None]]

WINDOW_S = 0.025
"""Fifty single deltas through a handle cost fifty milliseconds; a reader does not see twenty-five."""


async def coalesce(
    deltas: AsyncGenerator[Delta, None], clock: Callable[[], float], window_s: float = WINDOW_S
) -> AsyncGenerator[Delta, None]:
    """Yield `deltas` with those of one window joined; no delta waits longer than `window_s` for the next one."""
    held: list[Delta] = []
    due_s = clock()
    async with aclosing(deltas):
        coming = asyncio.ensure_future(anext(deltas))
        try:
            while True:
                wait_s = max(0.0, due_s - clock()) if held else None
                done, _ = await asyncio.wait({coming}, timeout=wait_s)
                if not done:
                    yield _joined(held)
                    held, due_s = [], clock() + window_s
                    continue
                try:
                    held.append(coming.result())
                except StopAsyncIteration:
                    break
                coming = asyncio.ensure_future(anext(deltas))
                if clock() >= due_s:
                    yield _joined(held)
                    held, due_s = [], clock() + window_s
            if held:
                yield _joined(held)
        finally:
            coming.cancel()
            await asyncio.wait({coming})


def _joined(deltas: list[Delta]) -> Delta:
    return Delta(text="".join(delta.text for delta in deltas), finish=deltas[-1].finish, usage=deltas[-1].usage)


async def first_within(deltas: AsyncGenerator[Delta, None], timeout_s: float) -> AsyncGenerator[Delta, None]:
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
                await asyncio.wait({closing})
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
        await asyncio.wait({coming})
        await leg.aclose()
