"""A sleep for the emulator that reports the start of a long sleep, so that a test can wait for a stalled stream."""

from __future__ import annotations

import asyncio

LONG_SLEEP_S = 1.0


class SleepProbe:
    """Sleep like `asyncio.sleep`, and set an event at the start of a long sleep."""

    def __init__(self) -> None:
        self.long_sleep_started = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        if seconds >= LONG_SLEEP_S:
            self.long_sleep_started.set()
        await asyncio.sleep(seconds)
