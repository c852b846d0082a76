"""Searches for the largest number of rooms that holds the targets. Runs nothing itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

CLOSE_ENOUGH = 1.06
"""The search ends when the next number to try is so close that two runs of one number differ as much."""
LEAST_STEP = 1

Holds = Callable[[int], Awaitable[bool]]


async def find_max(holds: Holds, start: int, most: int) -> int:
    """Return the largest number found to hold, at most `most`; 0 where not even one room does.

    Doubles while the targets hold (or halves until they do), then bisects between what held and what did not.
    """
    held, failed = await _bracket(holds, start, most)
    while failed is not None and failed - held > LEAST_STEP and failed > held * CLOSE_ENOUGH:
        between = (held + failed) // 2
        if await holds(between):
            held = between
        else:
            failed = between
    return held


async def _bracket(holds: Holds, start: int, most: int) -> tuple[int, int | None]:
    """Return a number that holds and the next one tried that does not, None where `most` does."""
    rooms = min(start, most)
    if not await holds(rooms):
        while rooms > 1:
            failed, rooms = rooms, rooms // 2
            if await holds(rooms):
                return rooms, failed
        return 0, None
    while rooms < most:
        held, rooms = rooms, min(2 * rooms, most)
        if not await holds(rooms):
            return held, rooms
    return rooms, None
