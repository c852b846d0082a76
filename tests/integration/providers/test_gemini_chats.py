"""The Gemini adapter against the strict emulator: tools, structured output, thinking, tiers, refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cluster.lab.emulator import Emulator, Extras, Fault
from cluster.lab.emulator.core.tools import FOREIGN_TOOL
from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.base import Provider
from deployments.providers.registry import connect
from routing.capabilities import effort_of, thinking_tokens
from routing.catalogue import load_catalogue
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.deltas import joined_answer
from routing.errors import ProviderContextTooLong, ProviderRefused, ProviderTruncated
from routing.models import Answer, ModelRequest
from tests.support.pictures import jpeg

CATALOGUE = load_catalogue()
LITE, FLASH, OLD = "gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-2.5-flash"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = SCHEMA | {"additionalProperties": False}
WEATHER = Tool(name="get_weather", description="Return the weather.", parameters=CLOSED)
TOOLS = ChatOptions(tools=(WEATHER, Tool(name="get_time")))
ASKED = Message(role="user", content=("Use get weather and get time, please.",))
HELLO = Message(role="user", content=("hello",))
BOTH = pytest.mark.parametrize("how", ["answer", "stream"])
EACH = pytest.mark.parametrize("model", [LITE, FLASH, OLD])


class Bench:
    """The adapter at the emulator."""

    def __init__(self, emulator: Emulator, provider: Provider) -> None:
        self.emulator = emulator
        self.provider = provider

    async def answer(self, how: str, request: ModelRequest) -> Answer:
        model = CATALOGUE.get(request.model)
        if how == "answer":
            return await self.provider.answer(model, request)
        return joined_answer([delta async for delta in self.provider.stream(model, request)], model.name, False)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Emulator().running() as emulator:
        row = VendorSettings.model_validate({"api": "gemini", "base_url": f"{emulator.url}/gemini"})
        bench = Bench(emulator, connect("gemini", row, SimulationSettings()))
        yield bench
        await bench.provider.aclose()


def chat(model: str, *messages: Message, options: ChatOptions = TOOLS, **more: Any) -> ModelRequest:
    rules = CATALOGUE.get(model).capabilities
    effort = effort_of(rules, options)
    room = {"effort": effort, "thinking_tokens": thinking_tokens(rules, effort)}
    return ModelRequest(model=model, messages=messages or (HELLO,), options=options, **(room | more))


def results(answer: Answer) -> list[Message]:
    return [Message(role="tool", content=("rain",), tool_call_id=call.call_id) for call in answer.tool_calls]


@BOTH
@EACH
async def test_tools_are_called_at_once_and_take_their_results(how: str, model: str, bench: Bench) -> None:
    called = await bench.answer(how, chat(model, ASKED))
    first, second = called.tool_calls
    assert called.finish == "tool_calls" and called.text == "" and first.call_id != second.call_id
    assert (first.name, json.loads(first.arguments), second.name) == ("get_weather", {"city": "text"}, "get_time")
    assert (first.signature is None) is (model == OLD) and second.signature is None
    assert called.usage is not None and called.usage.output_tokens == bench.emulator.journal[-1].completion_tokens
    turn = (Message(role="assistant", tool_calls=called.tool_calls), *results(called))
    final = await bench.answer(how, chat(model, ASKED, *turn))
    assert final.finish == "stop" and final.text and final.tool_calls == ()
    assert (await bench.answer(how, chat(model, ASKED, *turn, HELLO))).finish == "stop"


@BOTH
@EACH
async def test_a_conversation_of_another_vendor_goes_on_here(how: str, model: str, bench: Bench) -> None:
    foreign = ToolCall(call_id="toolu." + "A" * 90, name="get_weather", arguments="{}", signature="of another vendor")
    turn = (
        Message(role="assistant", content=("Wait.",), tool_calls=(foreign, replace(foreign, call_id="call_2"))),
        *(Message(role="tool", content=("rain",), tool_call_id=one) for one in (foreign.call_id, "call_2")),
    )
    assert (await bench.answer(how, chat(model, ASKED, *turn))).finish == "stop"


@BOTH
@EACH
async def test_an_image_in_the_result_of_a_tool_is_sent_where_the_model_takes_it(
    how: str, model: str, bench: Bench
) -> None:
    call = ToolCall(call_id="c", name="get_weather", arguments="{}")
    result = Message(role="tool", content=("the map", Image(data=jpeg(8, 8))), tool_call_id="c")
    request = chat(model, ASKED, Message(role="assistant", tool_calls=(call,)), result)
    if model == OLD:
        with pytest.raises(ProviderRefused, match="takes no image in the result"):
            await bench.answer(how, request)
        assert len(bench.emulator.journal) == 0
    else:
        assert (await bench.answer(how, request)).finish == "stop" and bench.emulator.journal[-1].images == 1


@BOTH
async def test_a_forced_tool_is_a_tool_call(how: str, bench: Bench) -> None:
    forced = replace(TOOLS, tool_choice=ToolChoice(mode="function", name="get_time"))
    answer = await bench.answer(how, chat(LITE, options=forced))
    assert answer.finish == "tool_calls" and [call.name for call in answer.tool_calls] == ["get_time"]


@BOTH
async def test_a_call_of_an_unknown_tool_is_passed_on_and_a_broken_one_is_no_answer(how: str, bench: Bench) -> None:
    bench.emulator.plan(Fault(foreign_tool=True))
    foreign = await bench.answer(how, chat(LITE))
    assert foreign.tool_calls[0].name == FOREIGN_TOOL
    bench.emulator.plan(Fault(broken_arguments=True))
    with pytest.raises(ProviderTruncated):
        await bench.answer(how, chat(LITE))


@BOTH
@pytest.mark.parametrize(("model", "options"), [(LITE, TOOLS), (OLD, ChatOptions())])
async def test_structured_output_follows_its_schema(how: str, model: str, options: ChatOptions, bench: Bench) -> None:
    strict = ResponseFormat(type="json_schema", name="city", schema=CLOSED, strict=True)
    answer = await bench.answer(how, chat(model, options=replace(options, response_format=strict)))
    assert json.loads(answer.text) == {"city": "text"} and answer.finish == "stop"
    some = replace(options, response_format=ResponseFormat(type="json_object"))
    assert isinstance(json.loads((await bench.answer(how, chat(model, options=some))).text), dict)


@BOTH
async def test_the_limit_leaves_room_for_thought_and_an_answer_of_thought_only_says_so(how: str, bench: Bench) -> None:
    roomy = await bench.answer(how, chat(FLASH, max_output_tokens=100))
    eaten = await bench.answer(how, chat(FLASH, max_output_tokens=100, thinking_tokens=0))
    assert roomy.finish == "stop" and roomy.usage is not None and roomy.usage.thinking_tokens == 120
    assert eaten.finish == "length" and eaten.text == "" and eaten.usage is not None
    assert eaten.usage.output_tokens == eaten.usage.thinking_tokens == 100


@BOTH
async def test_a_model_with_a_budget_thinks_as_much_as_its_effort_says(how: str, bench: Bench) -> None:
    silent, thoughtful = ChatOptions(reasoning_effort="none"), ChatOptions(reasoning_effort="low")
    none, low = [await bench.answer(how, chat(OLD, options=options)) for options in (silent, thoughtful)]
    assert none.usage is not None and low.usage is not None
    assert (none.usage.thinking_tokens, low.usage.thinking_tokens) == (0, 700)


@BOTH
async def test_the_served_tier_is_the_vendors_word(how: str, bench: Bench) -> None:
    flex = ChatOptions(service_tier="flex")
    bench.emulator.plan(Fault(served_tier="standard"))
    other, same, plain = [await bench.answer(how, chat(LITE, options=one)) for one in (flex, flex, ChatOptions())]
    assert (other.service_tier, same.service_tier, plain.service_tier) == ("standard", "flex", "standard")


@BOTH
async def test_a_prefix_is_read_from_the_cache_and_counted(how: str, bench: Bench) -> None:
    long = Message(role="system", content=("word " * 5_000,))
    first, second = [await bench.answer(how, chat(LITE, long, HELLO, options=ChatOptions())) for _ in range(2)]
    assert first.usage is not None and second.usage is not None
    assert (first.usage.cached_input_tokens, second.usage.cached_input_tokens) == (0, 4_096)
    assert first.usage.input_tokens == second.usage.input_tokens == 5_001


async def test_usage_of_the_first_chunk_is_no_count_of_the_answer(bench: Bench) -> None:
    bench.emulator.plan(Fault(usage_first=True))
    answer = await bench.answer("stream", chat(LITE))
    assert answer.text and answer.finish == "stop" and answer.usage is None


@BOTH
async def test_cached_tokens_and_thoughts_are_counted_once(how: str, bench: Bench) -> None:
    bench.emulator.plan(Fault(extras=Extras(cached_tokens=100, thinking_tokens=40), answer_tokens=10))
    usage = (await bench.answer(how, chat(LITE, options=ChatOptions()))).usage
    assert usage is not None and (usage.cached_input_tokens, usage.input_tokens) == (100, 101)
    assert (usage.thinking_tokens, usage.output_tokens) == (40, 50)


@BOTH
async def test_a_refusal_has_the_vendors_reason_for_the_caller_alone(how: str, bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer(how, chat(LITE, options=ChatOptions(presence_penalty=0.5)))
    error = refused.value
    assert type(error) is ProviderRefused and (error.status, error.billable, error.retryable) == (400, False, False)
    assert error.reason == "Penalty is not enabled for this model" and "Penalty" not in str(error)
    assert error.facts["vendor_code"] == "INVALID_ARGUMENT"


async def test_a_name_that_gemini_refuses_is_in_the_reason(bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer("answer", chat(LITE, options=ChatOptions(tools=(Tool(name="1"),))))
    assert refused.value.reason and "function_declarations[0].name" in refused.value.reason


@BOTH
async def test_a_request_beyond_the_context_is_an_error_of_its_own(how: str, bench: Bench) -> None:
    too_long = "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
    bench.emulator.plan(Fault(status=400, message=too_long))
    with pytest.raises(ProviderContextTooLong) as refused:
        await bench.answer(how, chat(LITE))
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")


@BOTH
async def test_a_chat_of_system_messages_alone_is_refused_and_nothing_is_sent(how: str, bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer(how, chat(LITE, Message(role="system", content=("Be brief.",))))
    assert (refused.value.status, refused.value.billable) == (400, False) and "message of the user" in str(
        refused.value
    )
    assert len(bench.emulator.journal) == 0


async def test_a_text_that_is_no_unicode_is_refused_at_no_cost(bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer("answer", chat(LITE, Message(role="user", content=("\ud800",))))
    assert refused.value.vendor_param == "contents[0].parts[0].text" and not refused.value.billable


@BOTH
@EACH
async def test_pictures_of_several_formats_and_details_are_taken(how: str, model: str, bench: Bench) -> None:
    images = (Image(data=jpeg(64, 64), detail="low"), "and", Image(data=jpeg(32, 32), detail="high"))
    answer = await bench.answer(how, chat(model, Message(role="user", content=("Look:", *images))))
    assert answer.text and bench.emulator.journal[-1].images == 2
