"""Measure how much one tenant at ten times its rate slows another: the p95 beside the flood over the p95 alone.

Run `python -m tests.benchmarks.bench_fairness`. A running app with few slots; a vendor that takes as long as
gpt-6-luna's published first token, so that slots are scarce and not this machine's processors.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from statistics import median, quantiles
from typing import Any

import aiohttp

from tests.benchmarks.machine import machine_is_busy
from tests.support.chat_load import ChatResult, send_at_rate
from tests.support.stack import Stack, running_stack

SLOTS = 24
RATE_PER_S, FLOOD_FACTOR, ROUND_S, ROUNDS = 4.0, 10, 12.0, 3
GOAL = 1.2
BODY = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 30}
SINGLE_REPLICA = {"min_replicas": 1, "max_replicas": 1}
ARGS: dict[str, dict[str, Any]] = {
    "scaling": {name: SINGLE_REPLICA for name in ("router", "vision", "llm", "embeddings")},
    "fairness": {"slots": SLOTS},
    "simulation": {"seed": 7, "speed": 1.0},
}


async def measure(stack: Stack) -> tuple[list[float], int, int]:
    """Return each round's ratio, and the numbers of refused requests of the flood and of the other tenant."""
    ratios, flood_refused, small_refused = list[float](), 0, 0
    tokens = [await stack.open_room(room) for room in ("tenant_globex_small", "tenant_acme_flood")]
    async with _client_session(stack, tokens[0]) as small, _client_session(stack, tokens[1]) as large:
        # The phases alternate, so that other load on this machine affects both.
        for _ in range(ROUNDS):
            baseline = await send_at_rate(small, BODY, RATE_PER_S, ROUND_S)
            async with asyncio.TaskGroup() as group:
                flood = group.create_task(send_at_rate(large, BODY, FLOOD_FACTOR * RATE_PER_S, ROUND_S))
                during_flood = group.create_task(send_at_rate(small, BODY, RATE_PER_S, ROUND_S))
            ratios.append(_p95_s(during_flood.result()) / _p95_s(baseline))
            flood_refused += sum(reply.status != 200 for reply in flood.result())
            small_refused += sum(reply.status != 200 for reply in [*baseline, *during_flood.result()])
    return ratios, flood_refused, small_refused


def _client_session(stack: Stack, token: str) -> aiohttp.ClientSession:
    headers = {"authorization": f"Bearer {token}"}
    return aiohttp.ClientSession(f"{stack.plan.router_url}/v1/", headers=headers)


def _p95_s(replies: list[ChatResult]) -> float:
    return quantiles([reply.duration_s for reply in replies], n=20)[-1]


def main() -> int:
    """Return 0 when the goal is met, 1 when it is missed, 2 when the machine is too busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    if machine_is_busy(parser.parse_args().force):
        return 2
    with running_stack("app", ARGS) as stack:
        ratios, flood_refused, small_refused = asyncio.run(measure(stack))
    met = median(ratios) <= GOAL and small_refused == 0 and flood_refused > 0
    print(f"p95 beside the flood over p95 alone: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    print(f"refused: {flood_refused} of the flood, {small_refused} of the other tenant")
    print(f"{'ok' if met else 'MISSED'} median {median(ratios):.2f} <= {GOAL}, none of the other tenant refused")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
