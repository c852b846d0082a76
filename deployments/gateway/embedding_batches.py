"""Embed the inputs of one request in several calls, each of which is metered and retried on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

from deployments.gateway import attempts
from deployments.gateway.failover import Failover
from deployments.gateway.models import EmbedHandle, RoutedRequest
from routing.chat import Message
from routing.estimates import text_tokens
from routing.models import EmbeddingResult, Usage

CALLS_AT_ONCE = 4
MOST_INPUTS = 96
"""A reply with so many vectors of 4,096 numbers is below the 4 MB that a Serve handle may carry."""
MOST_TOKENS = 100_000
"""Voyage takes 120,000 to 1 million tokens in all inputs of a call, by model; its API page, read 2026-11-30."""
PX_A_TOKEN = 560
"""How Voyage counts images in that total; its pricing page, read 2026-11-22."""

Embedded = tuple[EmbeddingResult, int]
"""The vectors of one call, and its cost in nano-dollars."""


async def embed_in_batches(failover: Failover, handle: EmbedHandle, request: RoutedRequest) -> Embedded:
    """Return the vectors of all inputs, in order, and the cost of all calls.

    The first call alone may fall back to another model: a vector of one model cannot be compared with one of another.
    Raises as `attempts.embed` does; the calls that succeeded until then are billed.
    """
    ends_at_s = failover.clock() + request.timeouts.total_s
    first, *rest = batches(request.messages)
    embedded = await attempts.embed(failover, handle, replace(request, messages=first))
    if not rest:
        return embedded
    slots = asyncio.Semaphore(CALLS_AT_ONCE)
    pinned = _pinned(failover, request, embedded[0].model)

    async def embed(number: int, inputs: tuple[Message, ...]) -> Embedded:
        async with slots:
            timeouts = replace(request.timeouts, total_s=max(0.0, ends_at_s - failover.clock()))
            billing = replace(request.billing, event_key=f"{request.billing.event_key}-{number}")
            call = replace(pinned, messages=inputs, timeouts=timeouts, billing=billing)
            return await attempts.embed(failover, handle, call)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(embed(number, inputs)) for number, inputs in enumerate(rest, 1)]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return _joined([embedded, *(task.result() for task in tasks)])


def _pinned(failover: Failover, request: RoutedRequest, served_name: str) -> RoutedRequest:
    """Return the request with the one target that has this name in answers."""
    models = map(failover.catalogue.get, request.decision.targets)
    targets = tuple(model.name for model in models if served_name in (model.name, failover.meter.served_name(model)))
    return replace(request, decision=replace(request.decision, targets=targets))


def _joined(calls: list[Embedded]) -> Embedded:
    results = [result for result, _ in calls]
    usages = [result.usage for result in results if result.usage is not None]
    joined = replace(
        results[0],
        vectors=tuple(vector for result in results for vector in result.vectors),
        usage=sum(usages, Usage()) if usages else None,
    )
    return joined, sum(cost_nanousd for _, cost_nanousd in calls)


def batches(inputs: Sequence[Message], most_tokens: int = MOST_TOKENS) -> Iterator[tuple[Message, ...]]:
    """Yield the inputs in order, in groups that one call takes. An input beyond the limit is a group of its own."""
    group, tokens = list[Message](), 0
    for message in inputs:
        cost = _tokens(message)
        if group and (len(group) == MOST_INPUTS or tokens + cost > most_tokens):
            yield tuple(group)
            group, tokens = [], 0
        group.append(message)
        tokens += cost
    if group:
        yield tuple(group)


def _tokens(message: Message) -> int:
    return text_tokens((message,)) + sum(image.width_px * image.height_px // PX_A_TOKEN for image in message.images)
