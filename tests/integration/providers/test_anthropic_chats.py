"""The adapter of Anthropic against the strict emulator: tools, structured output, thinking, caching, refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.chat.anthropic.messages import EXPLANATION
from cluster.lab.emulator.core.answers import BROKEN_ARGUMENTS
from cluster.lab.emulator.core.tools import FOREIGN_TOOL
from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.base import Provider
from deployments.providers.registry import connect
from routing.capabilities import accepted_options, thinking_tokens
from routing.catalogue import load_catalogue
from routing.chat import ChatOptions, Effort, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.deltas import joined_answer
from routing.errors import ProviderContextTooLong, ProviderQuota, ProviderRefused
from routing.models import Answer, ModelRequest
from tests.support.pictures import jpeg

CATALOGUE = load_catalogue()
HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
LOWEST: dict[str, Effort] = {HAIKU: "none", SONNET: "none", OPUS: "low"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="Return the weather.", parameters=SCHEMA)
TOOLS = ChatOptions(tools=(WEATHER,))
ASKED = Message(role="user", content=("Use get weather, please.",))
HELLO = Message(role="user", content=("hello",))
BOTH = pytest.mark.parametrize("how", ["answer", "stream"])
EACH = pytest.mark.parametrize("model", [HAIKU, SONNET, OPUS])


class Bench:
    """The adapter at the emulator."""

    def __init__(self, emulator: Emulator, provider: Provider) -> None:
        self.emulator, self.provider = emulator, provider

    async def answer(self, how: str, request: ModelRequest) -> Answer:
        model = CATALOGUE.get(request.model)
        if how == "answer":
            return await self.provider.answer(model, request)
        return joined_answer([delta async for delta in self.provider.stream(model, request)], model.name, False)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Emulator().running() as emulator:
        row = VendorSettings.model_validate({"api": "anthropic", "base_url": f"{emulator.url}/anthropic"})
        provider = connect("anthropic", row, SimulationSettings())
        yield Bench(emulator, provider)
        await provider.aclose()


def chat(model: str, *messages: Message, **more: Any) -> ModelRequest:
    effort: Effort = more.pop("effort", LOWEST[model])
    room = thinking_tokens(CATALOGUE.get(model).capabilities, effort)
    return ModelRequest(model=model, messages=messages or (HELLO,), effort=effort, thinking_tokens=room, **more)


def result(call: ToolCall, *content: str | Image) -> Message:
    return Message(role="tool", content=content or ("rain",), tool_call_id=call.call_id)


@EACH
@BOTH
@pytest.mark.parametrize("effort", ["lowest", "high"])
async def test_a_tool_is_called_and_takes_its_result(how: str, model: str, effort: Any, bench: Bench) -> None:
    level = {"effort": LOWEST[model] if effort == "lowest" else effort}
    called = await bench.answer(how, chat(model, ASKED, options=TOOLS, **level))
    (call,) = called.tool_calls
    assert called.finish == "tool_calls" and called.text == "" and json.loads(call.arguments) == {"city": "text"}
    assert (call.signature is None) is (level["effort"] == "none") and called.service_tier == "standard"
    turn = (Message(role="assistant", tool_calls=called.tool_calls), result(call))
    final = await bench.answer(how, chat(model, ASKED, *turn, options=TOOLS, **level))
    assert final.finish == "stop" and final.text and final.tool_calls == ()


@BOTH
async def test_thinking_goes_back_with_its_conversation_and_stays_out_of_any_other(how: str, bench: Bench) -> None:
    called = await bench.answer(how, chat(OPUS, ASKED, options=TOOLS))
    turn = (Message(role="assistant", tool_calls=called.tool_calls), result(called.tool_calls[0]))
    edited = Message(role="user", content=("Use get weather, now.",))
    system = Message(role="system", content=("Be brief.",))
    for messages in ((ASKED, *turn, HELLO), (edited, *turn), (system, ASKED, *turn)):
        # Thinking of a changed conversation would be answered 400.
        assert (await bench.answer(how, chat(OPUS, *messages, options=TOOLS))).finish == "stop"
    assert (await bench.answer(how, chat(SONNET, ASKED, *turn, options=TOOLS))).finish == "stop"


@EACH
@BOTH
async def test_a_conversation_of_another_vendor_goes_on_here(how: str, model: str, bench: Bench) -> None:
    foreign = ToolCall(call_id="call.of another vendor|" + "A" * 60, name="get_weather", arguments="{}", signature="x")
    broken = ToolCall(call_id="b", name="get_weather", arguments=BROKEN_ARGUMENTS)
    greeting = Message(role="assistant", content=("Good morning.",))
    turn = Message(role="assistant", content=("Wait.",), tool_calls=(foreign, broken))
    picture = result(broken, "see", Image(data=jpeg(32, 32)))
    messages = (greeting, ASKED, HELLO, turn, result(foreign), picture, HELLO)
    assert (await bench.answer(how, chat(model, *messages, options=TOOLS))).finish == "stop"
    assert (await bench.answer(how, chat(model, *messages))).finish == "stop"


@BOTH
async def test_a_forced_tool_is_a_tool_call(how: str, bench: Bench) -> None:
    for choice in (ToolChoice(mode="function", name="get_weather"), ToolChoice(mode="required")):
        options = replace(TOOLS, tool_choice=choice, parallel_tool_calls=False)
        answer = await bench.answer(how, chat(HAIKU, options=options))
        assert answer.finish == "tool_calls" and answer.tool_calls[0].name == "get_weather"
    never = replace(TOOLS, tool_choice=ToolChoice(mode="none"), parallel_tool_calls=False)
    assert (await bench.answer(how, chat(HAIKU, ASKED, options=never))).finish == "stop"


@BOTH
async def test_calls_of_unknown_tools_and_without_arguments_are_passed_on(how: str, bench: Bench) -> None:
    bench.emulator.plan(Fault(foreign_tool=True))
    foreign = await bench.answer(how, chat(HAIKU, options=TOOLS))
    clock = ChatOptions(tools=(Tool(name="clock"),), tool_choice=ToolChoice(mode="required"))
    bare = await bench.answer(how, chat(HAIKU, options=clock))
    assert foreign.tool_calls[0].name == FOREIGN_TOOL and bare.tool_calls[0].arguments == "{}"


async def test_streamed_arguments_that_are_no_json_are_passed_on_as_they_came(bench: Bench) -> None:
    bench.emulator.plan(Fault(broken_arguments=True))
    broken = await bench.answer("stream", chat(HAIKU, options=TOOLS))
    assert broken.tool_calls[0].arguments == BROKEN_ARGUMENTS


@EACH
@BOTH
async def test_structured_output_follows_a_schema_with_rules_that_the_vendor_lacks(
    how: str, model: str, bench: Bench
) -> None:
    properties = {"city": {"type": ["string", "null"], "minLength": 2}, "size": {"type": "integer", "minimum": 1}}
    schema = SCHEMA | {"properties": properties, "required": ["city", "size"]}
    requested = ResponseFormat(type="json_schema", name="city", schema=schema, strict=True)
    strict = Tool(name="f", parameters=schema, strict=True)
    answer = await bench.answer(how, chat(model, options=ChatOptions(tools=(strict,), response_format=requested)))
    assert json.loads(answer.text).keys() == {"city", "size"} and answer.finish == "stop"


async def test_an_object_of_any_kind_is_refused_before_it_is_sent(bench: Bench) -> None:
    options = ChatOptions(response_format=ResponseFormat(type="json_object"))
    with pytest.raises(ProviderRefused):
        await bench.answer("answer", chat(HAIKU, options=options))
    assert len(bench.emulator.journal) == 0


@EACH
@BOTH
async def test_the_limit_leaves_room_for_thought_and_an_answer_of_thought_only_says_so(
    how: str, model: str, bench: Bench
) -> None:
    roomy = await bench.answer(how, chat(model, max_output_tokens=100, effort="low"))
    eaten = await bench.answer(how, replace(chat(model, max_output_tokens=100, effort="low"), thinking_tokens=0))
    assert roomy.finish == "stop" and len(roomy.text.split()) == 24
    assert roomy.usage is not None and roomy.usage.thinking_tokens == 120
    assert eaten.finish == "length" and eaten.text == "" and eaten.usage is not None
    assert eaten.usage.output_tokens == eaten.usage.thinking_tokens == 100


@EACH
async def test_every_level_of_effort_is_accepted(model: str, bench: Bench) -> None:
    thinking = CATALOGUE.get(model).capabilities.thinking
    assert thinking is not None
    for effort in thinking.efforts:
        answer = await bench.answer("answer", chat(model, effort=effort))
        assert answer.finish == "stop" and answer.text


@BOTH
async def test_options_that_the_table_accepts_are_accepted(how: str, bench: Bench) -> None:
    wanted = ChatOptions(temperature=0.1, stop=("emulator",), seed=7, service_tier="auto", verbosity="low")
    options = accepted_options(HAIKU, CATALOGUE.get(HAIKU).capabilities, wanted, drop=True)
    answer = await bench.answer(how, chat(HAIKU, options=options))
    assert answer.text.rstrip() == "This is the" and answer.finish == "stop"


@BOTH
async def test_a_chat_of_system_messages_alone_is_answered(how: str, bench: Bench) -> None:
    answer = await bench.answer(how, chat(HAIKU, Message(role="system", content=("Say hello.",))))
    assert answer.text and answer.finish == "stop"


@BOTH
async def test_a_long_prefix_and_a_long_conversation_are_cached(how: str, bench: Bench) -> None:
    system = Message(role="system", content=("word " * 600,))
    said = [Message(role=role, content=("word " * 100,)) for role in ("user", "assistant", "user", "assistant")]
    request = chat(HAIKU, system, *said, HELLO)
    first, second = [(await bench.answer(how, request)).usage for _ in "ab"]
    assert first is not None and second is not None
    assert (first.cache_write_tokens, first.cached_input_tokens, first.input_tokens) == (1_000, 0, 1_001)
    assert (second.cache_write_tokens, second.cached_input_tokens) == (0, 1_000)
    grown = chat(HAIKU, system, *said, HELLO, Message(role="assistant", content=("a",)), HELLO)
    third = (await bench.answer(how, grown)).usage
    assert third is not None and (third.cached_input_tokens, third.cache_write_tokens) == (1_000, 2)


@BOTH
async def test_a_refusal_by_the_model_is_an_answer_with_the_vendors_explanation(how: str, bench: Bench) -> None:
    bench.emulator.plan(Fault(refusal="refused"))
    answer = await bench.answer(how, chat(HAIKU))
    assert (answer.finish, answer.text) == ("refusal", EXPLANATION)


async def test_usage_of_the_first_event_is_no_count_of_the_answer(bench: Bench) -> None:
    bench.emulator.plan(Fault(usage_first=True))
    answer = await bench.answer("stream", chat(HAIKU))
    assert answer.text and answer.finish == "stop" and answer.usage is None


@BOTH
async def test_a_refusal_has_the_vendors_reason_and_field(how: str, bench: Bench) -> None:
    tool = Tool(name="f", parameters={"type": "object", "anyOf": []})
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer(how, chat(HAIKU, options=ChatOptions(tools=(tool,))))
    error = refused.value
    assert type(error) is ProviderRefused and (error.status, error.billable, error.retryable) == (400, False, False)
    assert error.reason and "top level" in error.reason and error.vendor_param == "tools.0.custom.input_schema"
    assert "top level" not in str(error)


@BOTH
async def test_a_request_beyond_the_context_is_an_error_of_its_own(how: str, bench: Bench) -> None:
    bench.emulator.plan(Fault(status=400, message="prompt is too long: 1000001 tokens > 1000000 maximum"))
    bench.emulator.plan(Fault(status=413))
    for _ in "ab":
        with pytest.raises(ProviderContextTooLong):
            await bench.answer(how, chat(HAIKU))


@BOTH
async def test_an_account_without_money_is_no_fault_of_the_request(how: str, bench: Bench) -> None:
    bench.emulator.plan(Fault(status=400, message="Your credit balance is too low to access the Anthropic API."))
    with pytest.raises(ProviderQuota) as failed:
        await bench.answer(how, chat(HAIKU))
    assert "reason" not in failed.value.facts


@BOTH
async def test_a_text_that_cannot_be_encoded_is_refused_and_nothing_is_sent(how: str, bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer(how, chat(HAIKU, Message(role="user", content=("\ud800",))))
    assert not refused.value.billable and len(bench.emulator.journal) == 0


@BOTH
async def test_pictures_keep_their_order_among_the_texts(how: str, bench: Bench) -> None:
    content = ("Look:", Image(data=jpeg(64, 64)), " ", "and", Image(data=jpeg(32, 32)))
    answer = await bench.answer(how, chat(HAIKU, Message(role="user", content=content)))
    assert answer.text and bench.emulator.journal[-1].images == 2
