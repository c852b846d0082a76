"""However an attempt ends, its vendor call is closed, its cost is settled once, and no task of it remains."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from deployments.common.settings import SimulationSettings
from deployments.common.streaming import coalesce
from deployments.gateway.models import RoutedAnswer
from deployments.model_replica import ModelReplica
from deployments.providers.simulated import SimulatedProvider
from routing.billing.usage_means import UsageMeans
from routing.breaker import BreakerSettings
from routing.catalogue import FRAME_PX
from routing.chat import Image, Message
from routing.errors import (
    BudgetExceeded,
    CostsUnavailable,
    Overloaded,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderTruncated,
    RayroomError,
)
from routing.models import (
    Delta,
    ModelRequest,
    Tier,
    Usage,
)
from routing.retry import RetrySettings
from tests.integration.gateway.attempts_in_memory import (
    CATALOGUE,
    FLASH,
    LUNA,
    MESSAGES,
    MIXED,
    SOL,
    TIMEOUTS,
    USAGE,
    AttemptRunner,
    CostsInMemory,
    Plan,
    Vendors,
    cost,
    expected_usage,
    largest_usage,
    routed_request,
)
from tests.support.gateway import SIMULATED, jpeg


@pytest.fixture(autouse=True)
async def swept() -> None:
    """Let the tasks of earlier tests end first: an SDK's client that is collected closes itself in the running loop."""
    gc.collect()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=5)


@contextmanager
def no_unretrieved_error() -> Iterator[None]:
    """Fail where an error was never retrieved, and reached the loop's exception handler."""
    unretrieved: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unretrieved.append(context))
    yield
    gc.collect()
    loop.set_exception_handler(None)
    assert unretrieved == []


def nothing_remains(runner: AttemptRunner) -> bool:
    """Return whether every stream is closed; also check that no task is left and each intent is settled once."""
    runner.costs.bill()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert left == set(), left
    return runner.vendors.open == 0


def whole(runner: AttemptRunner) -> Awaitable[object]:
    return runner.answer(routed_request(LUNA, FLASH, stronger=(SOL,)))


def streamed(runner: AttemptRunner) -> Awaitable[object]:
    return runner.streamed(routed_request(LUNA, FLASH))


@pytest.mark.parametrize("send", [whole, streamed])
async def test_a_caller_may_leave_at_any_moment(send: Callable[[AttemptRunner], Awaitable[object]]) -> None:
    """Cancel one turn of the loop later each time, until the request ends before."""
    for turns in range(200):
        plans: dict[str, list[Plan]] = {
            LUNA: [(0.0, ProviderOverloaded()), (0.0, 0.0, "...", "", USAGE)] * 2,
            SOL: [("the", "figures", USAGE)],
        }
        runner = AttemptRunner(Vendors(plans))
        call = asyncio.ensure_future(send(runner))
        for _ in range(turns):
            await asyncio.sleep(0)
        if call.done():
            break
        call.cancel()
        await asyncio.wait({call})
        for _ in range(20):
            await asyncio.sleep(0)
        assert call.cancelled() and nothing_remains(runner)
    assert 10 < turns < 199 and nothing_remains(runner)


async def test_a_probe_whose_caller_leaves_makes_room_for_another() -> None:
    brief = BreakerSettings(failures=1, open_s=0.01, jitter_share=0.0)
    once = RetrySettings(tries_of_target=1)
    runner = AttemptRunner(
        Vendors({LUNA: [(ProviderOverloaded(),), (9.0,), ("well", USAGE)]}), retries=once, breakers=brief
    )
    with pytest.raises(ProviderOverloaded):
        await runner.streamed(routed_request(LUNA))
    await asyncio.sleep(0.02)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(runner.streamed(routed_request(LUNA)), 0.05)
    assert isinstance((await runner.streamed(routed_request(LUNA)))[-1], RoutedAnswer)


async def test_a_journal_that_takes_the_whole_time_leaves_none_for_a_vendor() -> None:
    runner = AttemptRunner(Vendors({}), CostsInMemory(reserve_s=0.3))
    with pytest.raises(CostsUnavailable):
        await runner.answer(routed_request(LUNA, timeouts=replace(TIMEOUTS, total_s=0.4)))
    assert runner.vendors.requests == [] and runner.costs.bill() == [(LUNA, 0, False)]


@pytest.mark.parametrize("send", [whole, streamed])
async def test_a_failed_settlements_error_states_that_a_vendor_was_called(
    send: Callable[[AttemptRunner], Awaitable[object]],
) -> None:
    runner = AttemptRunner(Vendors({LUNA: [("hello", USAGE)]}), CostsInMemory(settles=False))
    with pytest.raises(CostsUnavailable, match="A vendor was called") as failed:
        await send(runner)
    assert failed.value.facts == {"vendor_called": True} and failed.value.retry_after_s == 1.0


async def test_a_failed_settlements_error_states_that_no_vendor_was_called() -> None:
    runner = AttemptRunner(Vendors({LUNA: [(Overloaded(),)]}), CostsInMemory(settles=False))
    with pytest.raises(CostsUnavailable, match="no vendor was called"):
        await runner.answer(routed_request(LUNA))


async def test_a_vendors_request_carries_the_id_and_the_tenant_of_its_event_and_its_settlement_the_tenant() -> None:
    runner = AttemptRunner(Vendors({LUNA: [("hello", USAGE)] * 2}))
    await runner.answer(routed_request(LUNA))
    await runner.streamed(routed_request(LUNA))
    assert [request.event_id for request in runner.vendors.requests] == list(runner.costs.intents)
    tenants = [entry.tenant_id for entry in (*runner.vendors.requests, *runner.costs.settled)]
    assert tenants == [intent.tenant_id for intent in runner.costs.intents.values()] * 2 and all(tenants)


async def test_a_vendor_has_no_more_time_than_the_journal_left() -> None:
    runner = AttemptRunner(Vendors({LUNA: [("hello", USAGE)]}), CostsInMemory(reserve_s=0.1))
    await runner.answer(routed_request(LUNA, timeouts=replace(TIMEOUTS, total_s=2.0)))
    assert 0.2 < runner.vendors.requests[0].timeout_s <= 1.9


async def test_a_first_token_has_no_more_time_than_the_whole_request() -> None:
    runner, began_s = AttemptRunner(Vendors({LUNA: [(9.0,)]})), time.monotonic()
    with pytest.raises(ProviderTimeout):
        await runner.streamed(routed_request(LUNA, timeouts=replace(TIMEOUTS, total_s=0.3)))
    assert time.monotonic() - began_s < TIMEOUTS.first_token_s - 1.0 and nothing_remains(runner)


@pytest.mark.parametrize("refusal", [BudgetExceeded(), CostsUnavailable(), Overloaded()])
async def test_a_strong_model_that_may_not_be_called_leaves_the_weak_answer(refusal: RayroomError) -> None:
    runner = AttemptRunner(Vendors({LUNA: [("...", USAGE)]}), CostsInMemory(refusals=[None, refusal]))
    answered = await runner.answer(routed_request(LUNA, stronger=(SOL,)))
    assert answered.answer.text == "..." and answered.decision.tier is Tier.SIMPLE
    assert answered.decision.reasons == ("short", "escalated: empty", f"kept: {refusal.code}")
    assert answered.cost_nanousd == cost(LUNA, USAGE) and runner.vendors.called_models == [LUNA]


@pytest.mark.parametrize("words", [10, 200])
async def test_a_whole_answer_without_usage_is_billed_by_its_text_and_by_no_more_than_was_requested(words: int) -> None:
    text = "word " * words
    runner = AttemptRunner(Vendors({LUNA: [(text, None)]}))
    await runner.answer(routed_request(LUNA))
    usage = expected_usage(LUNA, runner.vendors.requests[0])
    usage = replace(usage, output_tokens=min(64, UsageMeans().tokens_of(len(text))))
    assert runner.costs.bill() == [(LUNA, cost(LUNA, usage), True)]


async def test_vectors_without_usage_are_billed_by_the_text_and_the_pixels_that_were_sent() -> None:
    runner = AttemptRunner(Vendors({}))
    request = replace(
        routed_request(MIXED),
        messages=(
            Message(
                role="user",
                content=("a chart", Image(data=jpeg())),
            ),
        ),
    )
    _, cost_nanousd = await runner.embed(request)
    usage = expected_usage(MIXED, runner.vendors.requests[0])
    assert usage.image_px == FRAME_PX and runner.costs.bill() == [(MIXED, cost(MIXED, usage), True)]
    assert cost_nanousd == cost(MIXED, usage) > 300_000


async def test_a_unit_without_a_price_is_billed_at_the_reserved_amount_and_loses_no_answer() -> None:
    runner = AttemptRunner(Vendors({LUNA: [("hello", Usage(input_tokens=9, audio_ms=700))]}))
    answered = await runner.answer(routed_request(LUNA))
    reserved = largest_usage(LUNA, runner.vendors.requests[0])
    assert answered.answer.text == "hello" and runner.costs.bill() == [(LUNA, cost(LUNA, reserved), True)]


async def test_an_attempt_that_ends_in_a_bug_of_ours_is_not_free() -> None:
    runner = AttemptRunner(Vendors({LUNA: [(KeyError("no such row"),)]}))
    with pytest.raises(KeyError):
        await runner.answer(routed_request(LUNA))
    assert runner.costs.bill() == [(LUNA, cost(LUNA, expected_usage(LUNA, runner.vendors.requests[0])), True)]


async def test_text_before_a_stream_failed_is_received() -> None:
    vendors, received = Vendors({LUNA: [("a", "b", "c", ProviderTruncated())]}), []
    with pytest.raises(ProviderTruncated):
        async for delta in coalesce(vendors.stream(ModelRequest(model=LUNA)), window_s=9.0):
            received.append(delta.text)
    assert "".join(received) == "abc"


async def test_a_vendor_that_fails_while_its_stream_is_closed_raises_nothing() -> None:
    async def stubborn() -> AsyncGenerator[Delta, None]:
        yield Delta(text="a")
        try:
            await asyncio.sleep(9.0)
        finally:
            raise ProviderTruncated()

    deltas = coalesce(stubborn())
    with no_unretrieved_error():
        await anext(deltas)
        await asyncio.sleep(0)
        await deltas.aclose()


async def test_a_leaf_whose_stream_is_closed_has_closed_its_vendors() -> None:
    leaf = ModelReplica(SIMULATED, SimulationSettings(speed=50), CATALOGUE)
    deltas = leaf.stream(ModelRequest(model=LUNA, messages=MESSAGES))
    await anext(deltas)
    await deltas.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await leaf.aclose()


async def test_a_simulated_stream_ends_with_its_time_though_each_piece_has_a_task_of_its_own() -> None:
    vendor = SimulatedProvider(SimulationSettings(speed=1_000))
    deltas = vendor.stream(CATALOGUE.get(LUNA), ModelRequest(model=LUNA, messages=MESSAGES, timeout_s=0.1))
    assert (await asyncio.create_task(anext(deltas))).text
    await asyncio.sleep(0.15)
    with pytest.raises(ProviderTimeout):
        await asyncio.create_task(anext(deltas))


async def test_a_first_token_later_than_the_models_p99_moves_on_to_the_next_model_and_only_then() -> None:
    timeouts = replace(TIMEOUTS, first_token_least_s=0.05)
    plans: dict[str, list[Plan]] = {LUNA: [(9.0,), (0.2, "late", USAGE)], FLASH: [("hello", USAGE)]}
    runner = AttemptRunner(Vendors(plans), first_token_p99_s={LUNA: 0.1})
    began_s = time.monotonic()
    *_, answered = await runner.streamed(routed_request(LUNA, FLASH, timeouts=timeouts))
    assert isinstance(answered, RoutedAnswer) and answered.answer.text == "hello"
    assert time.monotonic() - began_s < TIMEOUTS.first_token_s - 1.0
    # No other model can follow the last one, so it has its whole time.
    *_, answered = await runner.streamed(routed_request(LUNA, timeouts=timeouts))
    assert isinstance(answered, RoutedAnswer) and answered.answer.text == "late"
    assert runner.vendors.called_models == [LUNA, FLASH, LUNA] and nothing_remains(runner)


async def test_a_model_whose_breaker_is_open_is_none_to_move_on_to() -> None:
    timeouts = replace(TIMEOUTS, first_token_least_s=0.05)
    plans: dict[str, list[Plan]] = {FLASH: [(ProviderOverloaded(),)], LUNA: [(0.2, "late", USAGE)]}
    once, breakers = RetrySettings(tries_of_target=1), BreakerSettings(failures=1)
    runner = AttemptRunner(Vendors(plans), first_token_p99_s={LUNA: 0.1}, retries=once, breakers=breakers)
    with pytest.raises(ProviderOverloaded):
        await runner.streamed(routed_request(FLASH))
    *_, answered = await runner.streamed(routed_request(LUNA, FLASH, timeouts=timeouts))
    assert isinstance(answered, RoutedAnswer) and answered.answer.text == "late"


async def test_a_model_that_is_later_than_its_published_p99_is_waited_for_longer_the_next_time() -> None:
    timeouts = replace(TIMEOUTS, first_token_least_s=0.05)
    plans: dict[str, list[Plan]] = {LUNA: [(9.0,), (0.5, "late", USAGE)], FLASH: [("hello", USAGE)]}
    runner = AttemptRunner(Vendors(plans), first_token_p99_s={LUNA: 0.4})
    for text in ("hello", "late"):
        *_, answered = await runner.streamed(routed_request(LUNA, FLASH, timeouts=timeouts))
        assert isinstance(answered, RoutedAnswer) and answered.answer.text == text
