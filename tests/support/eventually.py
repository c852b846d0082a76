"""Wait for a condition that no event reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def eventually(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Wait until `condition()` is true; raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.1)
