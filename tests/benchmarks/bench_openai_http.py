"""Measures the CPU time of a chat through `openai_http` and through the OpenAI SDK, both in one process."""

from __future__ import annotations

import asyncio
import resource
import sys
from contextlib import aclosing
from statistics import median

from rich.console import Console

from deployments.providers.openai import OpenAITransport
from deployments.providers.openai_chat import PATH
from deployments.providers.openai_http import OpenAICompatibleHttp
from deployments.providers.openai_sdk import OpenAISdk
from tests.benchmarks.upstream import PACED, running_upstream

ROUNDS = 5
CALLS = {"whole answer": 640, "stream": 320}
CONCURRENT = 16
TIMEOUT_S = 30.0
GOAL = 0.15
"""The share of the SDK's CPU time that `openai_http` must save to justify its code."""
_MESSAGES = [{"role": "user", "content": f"{PACED} Which of the two charts on this page has the higher peak?"}]
_REQUEST = {"model": "gpt-6-luna", "messages": _MESSAGES, "max_completion_tokens": 300}


async def _chat(transport: OpenAITransport, kind: str) -> None:
    body = _REQUEST | {"stream": True}
    if kind == "whole answer":
        # Whole answers are requested as streams too.
        await transport.read(PATH, body, TIMEOUT_S, lambda events: None)
        return
    async with aclosing(transport.events(PATH, body, TIMEOUT_S)) as groups:
        async for _ in groups:
            pass


async def _cpu_ms(transport: OpenAITransport, kind: str, calls: int) -> float:
    """Return this process's CPU milliseconds per chat over `calls` chats."""

    async def caller() -> None:
        for _ in range(calls // CONCURRENT):
            await _chat(transport, kind)

    began = _cpu_s()
    await asyncio.gather(*(caller() for _ in range(CONCURRENT)))
    return 1_000 * (_cpu_s() - began) / calls


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def run(url: str) -> dict[str, tuple[float, float]]:
    """Return the median CPU milliseconds per call of `openai_http` and of the SDK for each kind of chat."""
    transports: tuple[OpenAITransport, ...] = (OpenAICompatibleHttp("k", url), OpenAISdk("k", url))
    figures = {}
    for kind, calls in CALLS.items():
        for transport in transports:
            # The first calls pay for imports and connections.
            await _cpu_ms(transport, kind, 2 * CONCURRENT)
        rounds = [[await _cpu_ms(transport, kind, calls) for transport in transports] for _ in range(ROUNDS)]
        own, sdk = (median(column) for column in zip(*rounds, strict=True))
        figures[kind] = own, sdk
    for transport in transports:
        await transport.aclose()
    return figures


def main() -> int:
    """Print the figures; return 1 if `openai_http` saves less than its goal on either kind of chat."""
    with running_upstream() as upstream:
        figures = asyncio.run(run(upstream.url))
    saved = {kind: 1 - own / sdk for kind, (own, sdk) in figures.items()}
    for kind, (own, sdk) in figures.items():
        Console().print(f"{kind}: {own:.2f} ms of CPU with openai_http, {sdk:.2f} with the SDK: {saved[kind]:.0%} less")
    return int(min(saved.values()) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
