"""Thinking has room beyond the visible answer, and an answer that was thought only is requested again with more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from routing.capabilities import Capabilities, Thinking
from routing.catalogue import Catalogue
from routing.chat import ChatOptions, Effort, ToolCallDelta
from routing.errors import ProviderOverloaded, ThinkingExhausted
from routing.models import Delta, ModelRequest, Tier, Usage
from tests.integration.gateway.attempts_in_memory import (
    CATALOGUE,
    FLASH,
    LUNA,
    SOL,
    USAGE,
    AttemptRunner,
    Plan,
    Vendors,
    cost,
    expected_usage,
    largest_usage,
    routed_request,
)
from tests.integration.gateway.listed_metrics import ListedMetrics

ROOM = {"none": 0, "low": 500, "high": 4_000}
VISIBLE = 64
CUT = Usage(input_tokens=10, output_tokens=564, thinking_tokens=564)
THOUGHT_ONLY: Plan = (Delta(finish="length", usage=CUT),)
ANSWERED: Plan = ("hello", USAGE)


def thinking(*efforts: Effort) -> Capabilities:
    tokens = {effort: ROOM[effort] for effort in efforts}
    return Capabilities(thinking=Thinking(efforts=efforts, default=efforts[-1], tokens=tokens, source="a test"))


def catalogue(**changes: Capabilities) -> Catalogue:
    """Return the catalogue in which `sol` must think, `luna` may, and `flash` cannot."""
    rules = {SOL: thinking("low", "high"), LUNA: thinking("none", "low", "high"), FLASH: Capabilities()}
    models = {name: CATALOGUE.get(name).model_copy(update={"capabilities": rule}) for name, rule in rules.items()}
    return replace(CATALOGUE, models=CATALOGUE.models | models)


def runner_of(plans: dict[str, list[Plan]], metrics: ListedMetrics | None = None) -> AttemptRunner:
    return AttemptRunner(Vendors(plans), catalogue=catalogue(), metrics=metrics)


def requests(runner: AttemptRunner) -> list[tuple[str, int, Effort | None, int]]:
    """Return each request's model, visible tokens, effort and room for thinking."""
    sent = [request for request in runner.vendors.requests if isinstance(request, ModelRequest)]
    return [(request.model, request.max_output_tokens, request.effort, request.thinking_tokens) for request in sent]


async def whole(runner: AttemptRunner, *targets: str, stronger: tuple[str, ...] = ()) -> str:
    return (await runner.answer(routed_request(*targets, stronger=stronger))).answer.text


async def streamed(runner: AttemptRunner, *targets: str, stronger: tuple[str, ...] = ()) -> str:
    pieces = await runner.streamed(routed_request(*targets, stronger=stronger))
    return "".join(piece.text for piece in pieces if isinstance(piece, Delta))


both = pytest.mark.parametrize("call", [whole, streamed])
Call = Callable[..., Awaitable[str]]


async def test_a_model_thinks_as_little_as_it_can_and_has_room_for_it_beyond_the_visible_answer() -> None:
    runner = runner_of({SOL: [ANSWERED], LUNA: [ANSWERED], FLASH: [ANSWERED]})
    for model in (SOL, LUNA, FLASH):
        await runner.answer(routed_request(model))
    assert requests(runner) == [(SOL, VISIBLE, "low", 500), (LUNA, VISIBLE, "none", 0), (FLASH, VISIBLE, None, 0)]


async def test_a_caller_may_request_more_effort_and_its_room_is_reserved() -> None:
    runner = runner_of({SOL: [ANSWERED]})
    await runner.answer(replace(routed_request(SOL), options=ChatOptions(reasoning_effort="high")))
    (intent,) = runner.costs.intents.values()
    assert requests(runner) == [(SOL, VISIBLE, "high", 4_000)]
    reserved = largest_usage(SOL, runner.vendors.requests[0])
    assert reserved.output_tokens == VISIBLE + 4_000
    assert intent.estimate_nanousd == cost(SOL, reserved)


async def test_thinking_has_no_more_room_than_the_model_has_output_tokens() -> None:
    runner = runner_of({SOL: [ANSWERED]})
    limit = CATALOGUE.get(SOL).max_output_tokens
    await runner.answer(replace(routed_request(SOL), max_output_tokens=limit - 100))
    assert requests(runner) == [(SOL, limit - 100, "low", 100)]


@both
async def test_an_answer_that_was_thought_only_is_requested_once_more_with_more_room_and_both_are_billed(
    call: Call,
) -> None:
    metrics = ListedMetrics()
    runner = runner_of({SOL: [THOUGHT_ONLY, ANSWERED]}, metrics)
    assert await call(runner, SOL, FLASH) == "hello"
    assert requests(runner) == [(SOL, VISIBLE, "low", 500), (SOL, VISIBLE, "low", 2_000)]
    assert runner.costs.bill() == [(SOL, cost(SOL, CUT), False), (SOL, cost(SOL, USAGE), False)]
    assert metrics.counted == [("again", SOL, "")]


@both
async def test_a_second_answer_of_thought_only_goes_to_the_next_model(call: Call) -> None:
    runner = runner_of({SOL: [THOUGHT_ONLY, THOUGHT_ONLY], FLASH: [ANSWERED]})
    assert await call(runner, SOL, FLASH) == "hello"
    assert runner.vendors.called_models == [SOL, SOL, FLASH]


@both
async def test_thought_is_never_returned_as_an_answer(call: Call) -> None:
    runner = runner_of({SOL: [THOUGHT_ONLY, THOUGHT_ONLY]})
    with pytest.raises(ThinkingExhausted) as exhausted:
        await call(runner, SOL)
    assert exhausted.value.status == 502 and exhausted.value.facts == {"thinking_tokens": 2_000}
    assert runner.costs.bill() == [(SOL, cost(SOL, CUT), False)] * 2


async def test_answers_of_thought_only_do_not_open_the_breaker() -> None:
    runner = runner_of({SOL: [THOUGHT_ONLY] * 20})
    for _ in range(10):
        with pytest.raises(ThinkingExhausted):
            await runner.answer(routed_request(SOL))
    assert runner.vendors.called_models == [SOL] * 20


@both
async def test_a_server_that_thinks_by_itself_gets_room_too(call: Call) -> None:
    runner = runner_of({FLASH: [THOUGHT_ONLY, ANSWERED]})
    assert await call(runner, FLASH) == "hello"
    assert [room for *_, room in requests(runner)] == [0, 1_024]


@both
async def test_an_answer_cut_without_a_word_by_a_model_that_does_not_think_is_not_requested_again(call: Call) -> None:
    runner = runner_of({LUNA: [(Delta(finish="length", usage=USAGE),)]})
    assert await call(runner, LUNA) == ""
    assert runner.vendors.called_models == [LUNA]


async def test_a_streamed_answer_that_came_back_empty_is_escalated_as_a_whole_one_is() -> None:
    runner = runner_of({LUNA: [(" ", "\n", USAGE)], SOL: [("the ", "figures", USAGE)]})
    pieces = await runner.streamed(routed_request(LUNA, stronger=(SOL,)))
    *deltas, answered = pieces
    assert [delta.text for delta in deltas if isinstance(delta, Delta)] == ["the ", "figures"]
    assert not isinstance(answered, Delta) and answered.decision.tier is Tier.COMPLEX
    assert answered.decision.reasons == ("short", "escalated: empty") and answered.attempts == 2
    assert answered.cost_nanousd == cost(LUNA, USAGE) + cost(SOL, USAGE)


async def test_a_strong_stream_that_fails_before_its_first_word_leaves_the_weak_answer() -> None:
    runner = runner_of({LUNA: [(USAGE,)], SOL: [(ProviderOverloaded(),)] * 2})
    (answered,) = await runner.streamed(routed_request(LUNA, stronger=(SOL,)))
    assert not isinstance(answered, Delta) and answered.answer.text == ""
    assert answered.decision.reasons[-1] == "kept: provider_overloaded" and answered.decision.tier is Tier.SIMPLE


async def test_a_strong_stream_that_fails_after_its_first_word_is_an_error() -> None:
    runner = runner_of({LUNA: [(USAGE,)], SOL: [("the", ProviderOverloaded())]})
    with pytest.raises(ProviderOverloaded):
        await runner.streamed(routed_request(LUNA, stronger=(SOL,)))


async def test_blank_text_leaves_with_the_first_word() -> None:
    runner = runner_of({LUNA: [("\n", " ", "hello", " ", USAGE)]})
    pieces = await runner.streamed(routed_request(LUNA))
    assert [piece.text for piece in pieces if isinstance(piece, Delta)] == ["\n hello", " "]


@pytest.mark.parametrize(("model", "output"), [(LUNA, 0), (SOL, 125)])
async def test_only_a_model_that_does_not_think_owes_no_output_for_a_stream_cancelled_before_its_first_token(
    model: str, output: int
) -> None:
    runner = runner_of({model: [(9.0,)]})
    call = asyncio.create_task(runner.streamed(routed_request(model)))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.wait({call})
    usage = replace(expected_usage(model, runner.vendors.requests[0]), output_tokens=output)
    assert runner.costs.bill() == [(model, cost(model, usage), True)]


async def test_an_answer_without_usage_is_billed_with_the_thinking_that_is_expected_of_its_model() -> None:
    runner = runner_of({SOL: [("hello", None)], LUNA: [("hello", None)]})
    for model in (SOL, LUNA):
        await runner.answer(routed_request(model))
    thought, plain = (runner.costs.settled[i].usage.output_tokens for i in (0, 1))
    assert thought == plain + 125


async def test_a_tool_call_after_blank_text_is_an_answer() -> None:
    call = Delta(tool_calls=(ToolCallDelta(index=0, call_id="c1", name="look", arguments="{}"),))
    runner = runner_of({SOL: [(call, Delta(finish="length", usage=CUT))]})
    pieces = await runner.streamed(routed_request(SOL, FLASH))
    assert runner.vendors.called_models == [SOL] and len(pieces) == 2
