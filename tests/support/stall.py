"""Sleeps as it is told, and says when a long sleep begins: a test then knows that a stream stands still."""

from __future__ import annotations

import asyncio

LONG_S = 1.0


class Stall:
    """The emulator's sleep."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        if seconds >= LONG_S:
            self.begun.set()
        await asyncio.sleep(seconds)
