"""Every fault of every vendor, through the gateway and the real SDKs: the outcome, the calls and the cost."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from cluster.lab.emulator import LoggedRequest
from deployments.api.embedding_schemas import EmbeddingRequest
from routing.chat import Message
from routing.errors import BadInput
from routing.estimates import text_tokens
from routing.models import Usage
from tests.integration.gateway.fault_bench import (
    CATALOGUE,
    PICTURE,
    TOKEN,
    Bench,
    calls,
    ended,
    faulty,
    gateway,
    reserved,
    written,
)
from tests.integration.gateway.fault_table import LEFT, MATRIX, Bill, Route, Timers

pytestmark = pytest.mark.asyncio(loop_scope="module")


def rows(matrix: list[tuple[Route, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("route", "name"), matrix, ids=lambda value: str(value).replace(" ", "_"))


EVERY_FAULT, WITH_ONE_LEFT = rows(MATRIX), rows(LEFT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with Bench.running(tmp_path_factory.mktemp("bench")) as bench:
        yield bench


@pytest_asyncio.fixture(loop_scope="module")
async def bench(shared: Bench) -> Bench:
    return await shared.fresh()


def told(seen: LoggedRequest) -> Usage:
    return Usage(
        input_tokens=seen.prompt_tokens,
        cached_input_tokens=seen.cached_tokens,
        cache_write_tokens=seen.cache_write_tokens,
        output_tokens=seen.completion_tokens,
    )


def line(model: str, how: str, bill: Bill, seen: LoggedRequest | None, text: str = "") -> tuple[object, ...]:
    """Return the expected journal row of one attempt: the model, the cost, whether it is an estimate."""
    most = reserved(model, how)
    # The length of a thought that nobody reported is unknown: it counts as much as was reserved for it.
    heard = text_tokens([Message(role="assistant", content=(text,))]) + most.thinking_tokens
    usage = {
        Bill.NOTHING: Usage(),
        Bill.RESERVED: most,
        Bill.HEARD: replace(most, output_tokens=min(heard, most.output_tokens)),
        Bill.TOLD: told(seen) if seen is not None else Usage(),
    }[bill]
    (price,) = [row for row in CATALOGUE.prices.rows if row.model == model]
    tier = seen.service_tier if seen is not None else None
    return model, price.cost_nanousd(usage, tier), int(bill in (Bill.RESERVED, Bill.HEARD))


@EVERY_FAULT
async def test_without_another_target_a_fault_ends_as_its_row_says(route: Route, name: str, bench: Bench) -> None:
    case = route.table[name]
    async with faulty(bench, route, case) as (gateway, cluster):
        end = await ended(gateway, route.how)
        events, outcomes = await written(cluster), {str(row["outcome"]) for row in await cluster.events()}
    asked = [seen.model for seen in bench.emulator.journal]
    last = bench.emulator.journal[-1] if asked else None
    assert end.how == case.ends and outcomes == {"error" if isinstance(case.ends, type) else "ok"}
    assert asked == [route.model] * (case.calls if case.fault else 0)
    assert events == [line(route.model, route.how, case.bill, last, end.text)] * case.calls
    assert end.cost_nanousd in (None, sum(int(str(cost)) for _, cost, _ in events))


@WITH_ONE_LEFT
async def test_another_target_answers_what_the_first_cannot_and_both_are_billed(
    route: Route, name: str, bench: Bench
) -> None:
    case = route.table[name]
    called = calls(case, True)
    async with faulty(bench, route, case, route.after) as (gateway, cluster):
        end = await ended(gateway, route.how)
        events = await written(cluster)
    asked = [seen.model for seen in bench.emulator.journal]
    last = bench.emulator.journal[-1]
    first = [line(route.model, route.how, case.bill, last, end.text)] * called
    if case.falls_back:
        assert end.how == "stop" and end.model == route.after
        assert asked == [route.model] * (called if case.fault else 0) + [route.after]
        assert events == [*first, line(route.after, route.how, Bill.TOLD, last)]
        assert end.cost_nanousd == sum(int(str(cost)) for _, cost, _ in events)
    else:
        assert (end.how, asked, events) == (case.ends, [route.model] * called, first)


def with_a_picture(model: str) -> EmbeddingRequest:
    url = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()
    return EmbeddingRequest.model_validate({"model": model, "input": [{"text": "a chart", "image": url}]})


async def test_a_picture_is_embedded_by_the_target_that_sees_and_is_billed_by_its_pixels(bench: Bench) -> None:
    async with gateway(bench, ("voyage-3.5", "voyage-multimodal-3.5"), Timers()) as (router, cluster):
        embeddings, cost_nanousd = await router.embed(await router.admit(TOKEN, "embeddings"), with_a_picture("auto"))
        events = await written(cluster)
    (seen,), (price,) = bench.emulator.journal, [row for row in CATALOGUE.prices.rows if row.model == embeddings.model]
    charged = price.cost_nanousd(Usage(input_tokens=seen.prompt_tokens, image_px=seen.image_px))
    assert embeddings.model == "voyage-multimodal-3.5" and seen.image_px == 640 * 360
    assert events == [(embeddings.model, charged, 0)] and cost_nanousd == charged


async def test_a_picture_for_a_model_of_texts_is_the_callers_mistake_and_asks_nobody(bench: Bench) -> None:
    async with gateway(bench, ("voyage-3.5",), Timers()) as (router, cluster):
        with pytest.raises(BadInput, match="text only"):
            await router.embed(await router.admit(TOKEN, "embeddings"), with_a_picture("voyage-3.5"))
        assert len(bench.emulator.journal) == 0 and await written(cluster) == []
