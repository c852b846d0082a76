"""Shapes a stream of deltas: joins those that come close together, bounds the wait for the first. Knows no vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from routing.errors import ProviderTimeout
from routing.messages import Delta

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
