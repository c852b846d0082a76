"""Send chat completions to a running router at a constant rate, and record each result."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class ChatResult:
    """The status and the duration of one request."""

    status: int
    duration_s: float
    retry_after: str | None


async def complete_chat(client: aiohttp.ClientSession, body: dict[str, Any]) -> ChatResult:
    """Send one chat completion and read the response to its end."""
    sent_at_s = time.monotonic()
    async with client.post("chat/completions", json=body) as response:
        await response.read()
    return ChatResult(response.status, time.monotonic() - sent_at_s, response.headers.get("retry-after"))


async def send_at_rate(
    client: aiohttp.ClientSession, body: dict[str, Any], per_s: float, for_s: float
) -> list[ChatResult]:
    """Send `per_s` requests a second for `for_s` seconds, without waiting for responses; return all results."""
    started_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        requests = []
        for number in range(round(per_s * for_s)):
            await asyncio.sleep(max(0.0, started_s + number / per_s - time.monotonic()))
            requests.append(group.create_task(complete_chat(client, body)))
    return [task.result() for task in requests]
