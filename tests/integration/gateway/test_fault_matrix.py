"""Every fault of every vendor, through the gateway and the real SDKs: the outcome, the calls and the cost."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cluster.lab.emulator import LoggedRequest
from deployments.api.embedding_schemas import EmbeddingRequest
from routing.errors import BadInput
from tests.integration.gateway.fault_bench import (
    PICTURE,
    TOKEN,
    Bench,
    calls,
    charged,
    ended,
    faulty,
    gateway,
    is_near,
    price_of,
    prompt_of,
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


Row = tuple[object, ...]


def is_billed(bench: Bench, route: Route, bill: Bill, row: Row, seen: LoggedRequest | None) -> bool:
    """Return whether an attempt's row in the journal has the cost that its fault calls for."""
    model, cost_nanousd, estimated = row
    if bill is Bill.NOTHING:
        return (model, cost_nanousd, estimated) == (route.model, 0, 0)
    assert seen is not None
    if bill is Bill.REPORTED:
        charged_nanousd = price_of(route.model).cost_nanousd(charged(seen), seen.service_tier)
        return (model, cost_nanousd, estimated) == (route.model, charged_nanousd, 0)
    expected = charged(seen) if bill is Bill.NEAR else prompt_of(bench.logged[route.model, route.how])
    return (model, estimated) == (route.model, 1) and is_near(cost_nanousd, route.model, expected)


def are_billed(bench: Bench, route: Route, bill: Bill, rows: list[Row]) -> bool:
    """Return whether each row is billed by the vendor's log of its request."""
    seen: list[LoggedRequest | None] = [seen for seen in bench.emulator.journal if seen.model == route.model]
    seen += [None] * (len(rows) - len(seen))
    return all(is_billed(bench, route, bill, row, of_row) for row, of_row in zip(rows, seen, strict=True))


@EVERY_FAULT
async def test_without_another_target_a_fault_ends_as_its_row_states(route: Route, name: str, bench: Bench) -> None:
    case = route.table[name]
    async with faulty(bench, route, case) as (gateway, cluster):
        end = await ended(gateway, route.how)
        events, outcomes = await written(cluster), {str(row["outcome"]) for row in await cluster.events()}
    called_models = [seen.model for seen in bench.emulator.journal]
    assert end.how == case.ends and outcomes == {"error" if isinstance(case.ends, type) else "ok"}
    assert called_models == [route.model] * (case.calls if case.fault else 0)
    assert len(events) == case.calls and are_billed(bench, route, case.bill, events), events
    assert end.cost_nanousd in (None, sum(int(str(cost)) for _, cost, _ in events))


@WITH_ONE_LEFT
async def test_another_target_answers_where_the_first_fails_and_both_are_billed(
    route: Route, name: str, bench: Bench
) -> None:
    case = route.table[name]
    failed_calls = calls(case, True)
    async with faulty(bench, route, case, route.after) as (gateway, cluster):
        end = await ended(gateway, route.how)
        events = await written(cluster)
    called_models = [seen.model for seen in bench.emulator.journal]
    failed, answered = events[:failed_calls], events[failed_calls:]
    assert are_billed(bench, route, case.bill, failed), events
    if case.falls_back:
        charged_nanousd = price_of(route.after).cost_nanousd(charged(bench.emulator.journal[-1]))
        assert end.how == "stop" and end.model == route.after
        assert called_models == [route.model] * (failed_calls if case.fault else 0) + [route.after]
        assert answered == [(route.after, charged_nanousd, 0)]
        assert end.cost_nanousd == sum(int(str(cost)) for _, cost, _ in events)
    else:
        assert (end.how, called_models, answered) == (case.ends, [route.model] * failed_calls, [])


def with_a_picture(model: str) -> EmbeddingRequest:
    url = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()
    return EmbeddingRequest.model_validate({"model": model, "input": [{"text": "a chart", "image": url}]})


async def test_a_picture_is_embedded_by_the_target_that_sees_and_is_billed_by_its_pixels(bench: Bench) -> None:
    async with gateway(bench, ("voyage-3.5", "voyage-multimodal-3.5"), Timers()) as (router, cluster):
        embeddings, cost_nanousd = await router.embed(await router.admit(TOKEN, "embeddings"), with_a_picture("auto"))
        events = await written(cluster)
    (seen,) = bench.emulator.journal
    cost = price_of(embeddings.model).cost_nanousd(charged(seen))
    assert embeddings.model == "voyage-multimodal-3.5" and seen.image_px == 640 * 360
    assert events == [(embeddings.model, cost, 0)] and cost_nanousd == cost


async def test_a_picture_for_a_model_of_texts_is_the_callers_mistake_and_calls_no_vendor(bench: Bench) -> None:
    async with gateway(bench, ("voyage-3.5",), Timers()) as (router, cluster):
        with pytest.raises(BadInput, match="text only"):
            await router.embed(await router.admit(TOKEN, "embeddings"), with_a_picture("voyage-3.5"))
        assert len(bench.emulator.journal) == 0 and await written(cluster) == []
