"""Conversations with tools: fallback to another vendor in the middle, streamed calls, and their bill."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Literal

import pytest

from routing.billing.usage_means import UsageMeans
from routing.capabilities import Capabilities
from routing.catalogue import Catalogue
from routing.chat import ChatOptions, Message, ResponseFormat, Tool, ToolCall, ToolCallDelta, ToolChoice
from routing.errors import ProviderOverloaded, ProviderTruncated, UnsupportedOption
from routing.models import Delta, ModelRequest, Tier, Usage
from routing.policy import Decision, within_capabilities
from tests.integration.gateway.attempts_in_memory import (
    CATALOGUE,
    FLASH,
    LUNA,
    SOL,
    USAGE,
    AttemptRunner,
    Plan,
    Vendors,
    routed_request,
)

CALL = ToolCall(call_id="call_1", name="look_up", arguments='{"page": 3}', signature="c2ln")
CONVERSATION = (
    Message(role="user", content=("What is on page 3?",)),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content=("A chart of sales.",), tool_call_id="call_1"),
)
TOOL = Tool(name="look_up", parameters={"type": "object", "properties": {"page": {"type": "integer"}}})
OPTIONS = ChatOptions(tools=(TOOL,), tool_choice=ToolChoice(mode="auto"))
PIECES = (
    Delta(tool_calls=(ToolCallDelta(index=0, call_id="call_1", name="look_up", signature="c2ln"),)),
    Delta(tool_calls=(ToolCallDelta(index=0, arguments='{"page"'), ToolCallDelta(index=1, call_id="call_2", name="b"))),
    Delta(tool_calls=(ToolCallDelta(index=0, arguments=": 3}"), ToolCallDelta(index=1, arguments="{}"))),
)
CALLED: Plan = (*PIECES, Delta(finish="tool_calls", usage=USAGE))
ONCE_MORE = (ProviderOverloaded(),)


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_another_vendor_continues_a_conversation_with_tools(how: str) -> None:
    runner = AttemptRunner(Vendors({LUNA: [ONCE_MORE, ONCE_MORE], FLASH: [("A chart.", USAGE)]}))
    request = replace(routed_request(LUNA, FLASH, stronger=(SOL,)), messages=CONVERSATION, options=OPTIONS)
    await (runner.answer(request) if how == "whole" else runner.streamed(request))
    last = runner.vendors.requests[-1]
    assert runner.vendors.called_models == [LUNA, LUNA, FLASH] and isinstance(last, ModelRequest)
    assert (last.messages, last.options) == (CONVERSATION, OPTIONS)


async def test_a_streamed_call_is_passed_on_as_it_comes_and_joined_in_the_answer() -> None:
    runner = AttemptRunner(Vendors({LUNA: [CALLED]}))
    *deltas, answered = await runner.streamed(routed_request(LUNA, stronger=(SOL,)))
    assert [delta.tool_calls for delta in deltas if isinstance(delta, Delta)] == [delta.tool_calls for delta in PIECES]
    assert not isinstance(answered, Delta) and answered.answer.finish == "tool_calls"
    assert answered.answer.tool_calls == (CALL, ToolCall(call_id="call_2", name="b", arguments="{}"))
    assert answered.decision.tier is Tier.SIMPLE


async def test_a_call_that_has_begun_is_not_begun_again_by_another_model() -> None:
    runner = AttemptRunner(Vendors({LUNA: [(PIECES[0], ProviderTruncated())], FLASH: [CALLED]}))
    with pytest.raises(ProviderTruncated):
        await runner.streamed(routed_request(LUNA, FLASH))
    assert runner.vendors.called_models == [LUNA]


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_arguments_are_billed_as_text_where_the_vendor_reports_no_usage(how: str) -> None:
    runner = AttemptRunner(Vendors({LUNA: [(*PIECES, Delta(finish="tool_calls"))]}))
    request = replace(routed_request(LUNA), messages=CONVERSATION, options=OPTIONS)
    await (runner.answer(request) if how == "whole" else runner.streamed(request))
    usage = runner.costs.settled[0].usage
    assert usage.output_tokens == UsageMeans().tokens_of(len('look_up{"page": 3}b{}')) and runner.costs.bill()[0][2]


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_an_answer_of_empty_json_is_not_escalated(how: str) -> None:
    runner = AttemptRunner(Vendors({LUNA: [("{}", USAGE)]}))
    options = ChatOptions(response_format=ResponseFormat(type="json_object"))
    request = replace(routed_request(LUNA, stronger=(SOL,)), options=options)
    await (runner.answer(request) if how == "whole" else runner.streamed(request))
    assert runner.vendors.called_models == [LUNA]


async def test_log_probabilities_of_a_stream_are_passed_on_and_joined() -> None:
    parts: list[dict[str, object]] = [{"content": [{"token": "a"}], "refusal": None}, {"content": [{"token": "b"}]}]
    plan = (Delta(text="a", logprobs=parts[0]), Delta(text="b", logprobs=parts[1]), USAGE)
    runner = AttemptRunner(Vendors({LUNA: [plan]}))
    *deltas, answered = await runner.streamed(routed_request(LUNA))
    assert [delta.logprobs for delta in deltas if isinstance(delta, Delta)] == parts
    assert not isinstance(answered, Delta)
    assert answered.answer.logprobs == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}


async def test_the_tier_that_a_vendor_served_is_in_the_answer() -> None:
    runner = AttemptRunner(Vendors({LUNA: [("hello", Delta(finish="stop", usage=USAGE, service_tier="priority"))] * 2}))
    (*_, streamed), whole = await runner.streamed(routed_request(LUNA)), await runner.answer(routed_request(LUNA))
    assert not isinstance(streamed, Delta)
    assert streamed.answer.service_tier == whole.answer.service_tier == "priority"


def limited(**rules: Capabilities) -> Catalogue:
    models = {name.replace("_", "-"): rule for name, rule in rules.items()}
    changed = {name: CATALOGUE.get(name).model_copy(update={"capabilities": rule}) for name, rule in models.items()}
    return replace(CATALOGUE, models=CATALOGUE.models | changed)


NO_TOOLS = Capabilities(options=frozenset({"temperature"}), prefill=False)
CHOICE = Decision(
    tier=Tier.SIMPLE, targets=(LUNA, FLASH), score=0.1, threshold=0.5, reasons=(), stronger=("gpt-4o", "gpt-4o-mini")
)


def test_models_that_do_not_accept_the_options_are_left_out() -> None:
    catalogue = limited(gpt_6_luna=NO_TOOLS, gpt_4o=NO_TOOLS)
    decision = within_capabilities(CHOICE, catalogue, OPTIONS, CONVERSATION, False)
    assert (decision.targets, decision.stronger) == ((FLASH,), ("gpt-4o-mini",))
    dropping = within_capabilities(CHOICE, catalogue, OPTIONS, CONVERSATION, True)
    assert set(dropping.targets) == set(CHOICE.targets) and set(dropping.stronger) == set(CHOICE.stronger)
    with pytest.raises(UnsupportedOption, match="gpt-6-luna does not support tools"):
        within_capabilities(replace(CHOICE, targets=(LUNA,)), catalogue, OPTIONS, CONVERSATION, False)


async def test_an_option_that_may_be_dropped_is_dropped_for_the_model_that_does_not_accept_it() -> None:
    vendors = Vendors({LUNA: [ONCE_MORE, ONCE_MORE], FLASH: [("hello", USAGE)]})
    runner = AttemptRunner(vendors, catalogue=limited(gpt_6_luna=NO_TOOLS))
    await runner.answer(replace(routed_request(LUNA, FLASH), options=OPTIONS, drop_params=True))
    sent = [request.options for request in vendors.requests if isinstance(request, ModelRequest)]
    assert sent == [ChatOptions(), ChatOptions(), OPTIONS]


@pytest.mark.parametrize(
    ("requested", "served", "times"),
    [
        (None, "priority", 2.0),
        ("flex", "flex", 0.5),
        ("flex", "default", 1.0),
        ("priority", "default", 1.0),
        # A vendor that names no tier may have served the requested one, or the standard.
        ("priority", None, 2.0),
        ("flex", None, 1.0),
        (None, "a tier of tomorrow", 2.0),
    ],
)
async def test_an_answer_is_billed_at_the_tier_that_the_vendor_served(
    requested: Literal["flex", "priority"] | None, served: str | None, times: float
) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=200)
    runner = AttemptRunner(Vendors({LUNA: [("hello", Delta(finish="stop", usage=usage, service_tier=served))]}))
    await runner.streamed(replace(routed_request(LUNA), options=ChatOptions(service_tier=requested)))
    standard = CATALOGUE.price(LUNA, dt.date.today()).cost_nanousd(usage)
    assert runner.costs.bill() == [(LUNA, int(standard * times), False)]


@pytest.mark.parametrize(("requested", "times"), [(None, 1), ("flex", 1), ("priority", 2), ("auto", 1)])
async def test_a_requested_tier_is_reserved_at_its_price_and_never_below_the_standard(
    requested: Literal["flex", "priority", "auto"] | None, times: int
) -> None:
    async def reserved(options: ChatOptions) -> int:
        runner = AttemptRunner(Vendors({LUNA: [("hello", USAGE)]}))
        await runner.answer(replace(routed_request(LUNA), options=options))
        return next(iter(runner.costs.intents.values())).estimate_nanousd

    assert await reserved(ChatOptions(service_tier=requested)) == times * await reserved(ChatOptions())
