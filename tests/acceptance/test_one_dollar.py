"""The cost of an answer reaches the row of the tRPC server through every failure on its way."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from cluster.costs.journal_reader import read_settled_nanousd
from tests.support.credentials import FRAME_HEADERS
from tests.support.eventually import eventually
from tests.support.gateway import jpeg
from tests.support.stack import Stack
from tests.support.trpc_backend import set_faults

AGGREGATOR = "ray::Aggregator"
VISION = "ray::ServeReplica:rayroom:vision"


async def test_the_cost_of_a_frame_is_billed_to_the_backend(stack: Stack) -> None:
    token = await stack.open_room("tenant_acme_dollar")
    before = await stack.billed_nanousd("acme")
    async with stack.http(token) as http:
        answer = (await http.post("/v1/frames", content=jpeg(), headers=FRAME_HEADERS)).json()
    assert await stack.billed_nanousd("acme") - before == answer["cost_nanousd"] > 0
    row = (await stack.backend.events("acme"))[-1]
    assert row["service"] == "vision" and row["metadata"]["model"] == "simulated/gpt-6-luna"
    assert row["metadata"]["simulated"] is True and row["metadata"]["requests"] >= 1


async def test_the_real_openai_client_is_served_and_billed(stack: Stack) -> None:
    token = await stack.open_room("tenant_globex_client")
    before = await stack.billed_nanousd("globex")
    async with openai.AsyncOpenAI(api_key=token, base_url=f"{stack.plan.router_url}/v1", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="simple",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        whole = await client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hello"}])
        vectors = await client.embeddings.create(model="auto", input=["a", "b"])
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hello"}])
    costs = [_extra(chunks[-2])["cost_nanousd"], _extra(whole)["cost_nanousd"], _extra(vectors)["cost_nanousd"]]
    assert chunks[-1].usage is not None and whole.usage is not None and len(vectors.data) == 2
    assert await stack.billed_nanousd("globex") - before == sum(costs)


def _extra(answer: Any) -> dict[str, Any]:
    extra: dict[str, Any] = answer.model_extra["rayroom"]
    return extra


async def describe_frames(stack: Stack, token: str, count: int) -> list[dict[str, Any]]:
    """Send `count` frames one after the other; return their descriptions. Each must be answered."""
    answers = []
    async with stack.http(token) as http:
        for index in range(count):
            answer = await http.post("/v1/frames", content=jpeg(text=f"frame {index}"), headers=FRAME_HEADERS)
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
    return answers


async def kill_during_requests(stack: Stack, title: str) -> list[dict[str, Any]]:
    """Kill all processes of a title during requests of eight clients; return the answers once a new process runs."""
    token = await stack.open_room("tenant_acme_kills")
    requests = [asyncio.create_task(describe_frames(stack, token, 12)) for _ in range(8)]
    async with asyncio.timeout(60):
        while (await stack.usage("acme"))["reserved_nanousd"] == 0:
            await asyncio.sleep(0.05)
    victims = {process.pid: process for process in stack.processes(title)}
    for victim in victims.values():
        victim.kill()
    await eventually(lambda: any(process.pid not in victims for process in stack.processes(title)))
    return [answer for answers in await asyncio.gather(*requests) for answer in answers]


async def billed_answers_of_a_kill(stack: Stack, title: str) -> list[dict[str, Any]]:
    """Kill all processes of a title during requests; return the answers, whose costs are billed once."""
    before = await stack.billed_nanousd("acme")
    answers = await kill_during_requests(stack, title)
    billed = await stack.billed_nanousd("acme") - before
    assert len(answers) == 96
    assert billed == sum(answer["cost_nanousd"] for answer in answers)
    assert read_settled_nanousd(stack.plan.journal)["acme"] == before + billed
    return answers


@pytest.mark.kills
async def test_an_aggregator_killed_during_requests_loses_and_doubles_no_cost(stack: Stack) -> None:
    await billed_answers_of_a_kill(stack, AGGREGATOR)


@pytest.mark.kills
async def test_requests_of_a_killed_replica_are_billed_once_at_their_estimate_and_flagged(stack: Stack) -> None:
    before = (await stack.usage("acme"))["estimated_requests"]
    answers = await billed_answers_of_a_kill(stack, VISION)
    repeated = [answer for answer in answers if answer["attempts"] > 1]
    after = (await stack.usage("acme"))["estimated_requests"]
    assert repeated and after - before == sum(answer["attempts"] - 1 for answer in repeated)


@pytest.mark.kills
async def test_every_cost_is_billed_once_to_a_backend_that_loses_replies(stack: Stack) -> None:
    before = await stack.billed_nanousd("acme")
    # One failure: each doubles the wait of a window. tests/integration/cluster/test_backend_faults.py has every kind.
    await set_faults(stack.backend, loseReply=1)
    answers = await describe_frames(stack, await stack.open_room("tenant_acme_faults"), 5)
    assert await stack.billed_nanousd("acme", 60) - before == sum(answer["cost_nanousd"] for answer in answers)
