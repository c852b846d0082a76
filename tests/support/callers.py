"""Clients that keep sending requests to a running router, and the outcome of each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Reply:
    """How one request ended."""

    status: int
    took_s: float
    retry_after: str | None


async def ask(http: aiohttp.ClientSession, body: dict[str, Any]) -> Reply:
    """Ask for one completion and read it to its end."""
    asked_s = time.monotonic()
    async with http.post("chat/completions", json=body) as response:
        await response.read()
    return Reply(response.status, time.monotonic() - asked_s, response.headers.get("retry-after"))


async def steadily(http: aiohttp.ClientSession, body: dict[str, Any], per_s: float, for_s: float) -> list[Reply]:
    """Ask so often, whether the answers come or not."""
    started_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        asking = []
        for number in range(round(per_s * for_s)):
            await asyncio.sleep(max(0.0, started_s + number / per_s - time.monotonic()))
            asking.append(group.create_task(ask(http, body)))
    return [task.result() for task in asking]
