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
from tests.integration.gateway.attempt_bench import (
    CATALOGUE,
    FLASH,
    LUNA,
    SOL,
    TOLD,
    Desk,
    Plan,
    Vendors,
    cost,
    expected,
    most,
    order,
)
from tests.integration.gateway.listed_metrics import ListedMetrics

ROOM = {"none": 0, "low": 500, "high": 4_000}
VISIBLE = 64
CUT = Usage(input_tokens=10, output_tokens=564, thinking_tokens=564)
THOUGHT_ONLY: Plan = (Delta(finish="length", usage=CUT),)
ANSWERED: Plan = ("hello", TOLD)


def thinking(*efforts: Effort) -> Capabilities:
    tokens = {effort: ROOM[effort] for effort in efforts}
    return Capabilities(thinking=Thinking(efforts=efforts, default=efforts[-1], tokens=tokens, source="a test"))


def catalogue(**changes: Capabilities) -> Catalogue:
    """Return the catalogue in which `sol` must think, `luna` may, and `flash` cannot."""
    rules = {SOL: thinking("low", "high"), LUNA: thinking("none", "low", "high"), FLASH: Capabilities()}
    models = {name: CATALOGUE.get(name).model_copy(update={"capabilities": rule}) for name, rule in rules.items()}
    return replace(CATALOGUE, models=CATALOGUE.models | models)


def desk(plans: dict[str, list[Plan]], metrics: ListedMetrics | None = None) -> Desk:
    return Desk(Vendors(plans), catalogue=catalogue(), metrics=metrics)


def requests(of: Desk) -> list[tuple[str, int, Effort | None, int]]:
    """Return each request's model, visible tokens, effort and room for thinking."""
    asks = [ask for ask in of.vendors.asks if isinstance(ask, ModelRequest)]
    return [(ask.model, ask.max_output_tokens, ask.effort, ask.thinking_tokens) for ask in asks]


async def whole(of: Desk, *targets: str, stronger: tuple[str, ...] = ()) -> str:
    return (await of.answer(order(*targets, stronger=stronger))).answer.text


async def streamed(of: Desk, *targets: str, stronger: tuple[str, ...] = ()) -> str:
    pieces = await of.streamed(order(*targets, stronger=stronger))
    return "".join(piece.text for piece in pieces if isinstance(piece, Delta))


both = pytest.mark.parametrize("call", [whole, streamed])
Call = Callable[..., Awaitable[str]]


async def test_a_model_thinks_as_little_as_it_can_and_has_room_for_it_beyond_the_visible_answer() -> None:
    of = desk({SOL: [ANSWERED], LUNA: [ANSWERED], FLASH: [ANSWERED]})
    for model in (SOL, LUNA, FLASH):
        await of.answer(order(model))
    assert requests(of) == [(SOL, VISIBLE, "low", 500), (LUNA, VISIBLE, "none", 0), (FLASH, VISIBLE, None, 0)]


async def test_a_caller_may_ask_for_more_effort_and_its_room_is_reserved() -> None:
    of = desk({SOL: [ANSWERED]})
    await of.answer(replace(order(SOL), options=ChatOptions(reasoning_effort="high")))
    (intent,) = of.book.intents.values()
    assert requests(of) == [(SOL, VISIBLE, "high", 4_000)]
    reserved = most(SOL, of.vendors.asks[0])
    assert reserved.output_tokens == VISIBLE + 4_000
    assert intent.estimate_nanousd == cost(SOL, reserved)


async def test_thinking_has_no_more_room_than_the_model_has_output_tokens() -> None:
    of = desk({SOL: [ANSWERED]})
    limit = CATALOGUE.get(SOL).max_output_tokens
    await of.answer(replace(order(SOL), max_output_tokens=limit - 100))
    assert requests(of) == [(SOL, limit - 100, "low", 100)]


@both
async def test_an_answer_that_was_thought_only_is_requested_once_more_with_more_room_and_both_are_billed(
    call: Call,
) -> None:
    metrics = ListedMetrics()
    of = desk({SOL: [THOUGHT_ONLY, ANSWERED]}, metrics)
    assert await call(of, SOL, FLASH) == "hello"
    assert requests(of) == [(SOL, VISIBLE, "low", 500), (SOL, VISIBLE, "low", 2_000)]
    assert of.book.lines() == [(SOL, cost(SOL, CUT), False), (SOL, cost(SOL, TOLD), False)]
    assert metrics.counted == [("again", SOL, "")]


@both
async def test_a_second_answer_of_thought_only_goes_to_the_next_model(call: Call) -> None:
    of = desk({SOL: [THOUGHT_ONLY, THOUGHT_ONLY], FLASH: [ANSWERED]})
    assert await call(of, SOL, FLASH) == "hello"
    assert of.vendors.asked == [SOL, SOL, FLASH]


@both
async def test_thought_is_never_returned_as_an_answer(call: Call) -> None:
    of = desk({SOL: [THOUGHT_ONLY, THOUGHT_ONLY]})
    with pytest.raises(ThinkingExhausted) as exhausted:
        await call(of, SOL)
    assert exhausted.value.status == 502 and exhausted.value.facts == {"thinking_tokens": 2_000}
    assert of.book.lines() == [(SOL, cost(SOL, CUT), False)] * 2


async def test_answers_of_thought_only_do_not_open_the_breaker() -> None:
    of = desk({SOL: [THOUGHT_ONLY] * 20})
    for _ in range(10):
        with pytest.raises(ThinkingExhausted):
            await of.answer(order(SOL))
    assert of.vendors.asked == [SOL] * 20


@both
async def test_a_server_that_thinks_without_being_asked_to_gets_room_too(call: Call) -> None:
    of = desk({FLASH: [THOUGHT_ONLY, ANSWERED]})
    assert await call(of, FLASH) == "hello"
    assert [room for *_, room in requests(of)] == [0, 1_024]


@both
async def test_an_answer_cut_without_a_word_by_a_model_that_does_not_think_is_not_requested_again(call: Call) -> None:
    of = desk({LUNA: [(Delta(finish="length", usage=TOLD),)]})
    assert await call(of, LUNA) == ""
    assert of.vendors.asked == [LUNA]


async def test_a_streamed_answer_that_came_back_empty_is_escalated_as_a_whole_one_is() -> None:
    of = desk({LUNA: [(" ", "\n", TOLD)], SOL: [("the ", "figures", TOLD)]})
    pieces = await of.streamed(order(LUNA, stronger=(SOL,)))
    *deltas, answered = pieces
    assert [delta.text for delta in deltas if isinstance(delta, Delta)] == ["the ", "figures"]
    assert not isinstance(answered, Delta) and answered.decision.tier is Tier.COMPLEX
    assert answered.decision.reasons == ("short", "escalated: empty") and answered.attempts == 2
    assert answered.cost_nanousd == cost(LUNA, TOLD) + cost(SOL, TOLD)


async def test_a_strong_stream_that_fails_before_its_first_word_leaves_the_weak_answer() -> None:
    of = desk({LUNA: [(TOLD,)], SOL: [(ProviderOverloaded(),)] * 2})
    (answered,) = await of.streamed(order(LUNA, stronger=(SOL,)))
    assert not isinstance(answered, Delta) and answered.answer.text == ""
    assert answered.decision.reasons[-1] == "kept: provider_overloaded" and answered.decision.tier is Tier.SIMPLE


async def test_a_strong_stream_that_fails_after_its_first_word_is_an_error() -> None:
    of = desk({LUNA: [(TOLD,)], SOL: [("the", ProviderOverloaded())]})
    with pytest.raises(ProviderOverloaded):
        await of.streamed(order(LUNA, stronger=(SOL,)))


async def test_blank_text_leaves_with_the_first_word() -> None:
    of = desk({LUNA: [("\n", " ", "hello", " ", TOLD)]})
    pieces = await of.streamed(order(LUNA))
    assert [piece.text for piece in pieces if isinstance(piece, Delta)] == ["\n hello", " "]


@pytest.mark.parametrize(("model", "output"), [(LUNA, 0), (SOL, 125)])
async def test_only_a_model_that_does_not_think_owes_no_output_for_a_stream_cancelled_before_its_first_token(
    model: str, output: int
) -> None:
    of = desk({model: [(9.0,)]})
    call = asyncio.create_task(of.streamed(order(model)))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.wait({call})
    usage = replace(expected(model, of.vendors.asks[0]), output_tokens=output)
    assert of.book.lines() == [(model, cost(model, usage), True)]


async def test_an_answer_without_usage_is_billed_with_the_thinking_that_is_expected_of_its_model() -> None:
    of = desk({SOL: [("hello", None)], LUNA: [("hello", None)]})
    for model in (SOL, LUNA):
        await of.answer(order(model))
    thought, plain = (of.book.settled[i].usage.output_tokens for i in (0, 1))
    assert thought == plain + 125


async def test_a_tool_call_after_blank_text_is_an_answer() -> None:
    call = Delta(tool_calls=(ToolCallDelta(index=0, call_id="c1", name="look", arguments="{}"),))
    of = desk({SOL: [(call, Delta(finish="length", usage=CUT))]})
    pieces = await of.streamed(order(SOL, FLASH))
    assert of.vendors.asked == [SOL] and len(pieces) == 2
