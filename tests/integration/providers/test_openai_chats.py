"""Both transports to OpenAI's protocol against the strict emulator: tools, structured output, thinking, refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.core.answers import BROKEN_ARGUMENTS
from cluster.lab.emulator.core.tools import FOREIGN_TOOL
from deployments.common.settings import SimulationSettings, VendorSettings
from deployments.providers.base import Provider
from deployments.providers.registry import connect
from routing.catalogue import load_catalogue
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.deltas import joined_answer
from routing.errors import ProviderContextTooLong, ProviderMisconfigured, ProviderRefused
from routing.models import Answer, ModelRequest
from tests.support.pictures import jpeg

CATALOGUE = load_catalogue()
LUNA, SOL, OLD = "gpt-6-luna", "gpt-6.1-sol", "gpt-4o"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = SCHEMA | {"additionalProperties": False}
WEATHER = Tool(name="get_weather", description="Return the weather.", parameters=SCHEMA)
TOOLS = ChatOptions(tools=(WEATHER,))
ASKED = Message(role="user", content=("Use get weather, please.",))
HELLO = Message(role="user", content=("hello",))
APIS = pytest.mark.parametrize("api", ["openai", "openai-compatible"])
BOTH = pytest.mark.parametrize("how", ["answer", "stream"])


class Bench:
    """An adapter at the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.providers: dict[str, Provider] = {}

    async def answer(self, api: str, how: str, request: ModelRequest) -> Answer:
        if api not in self.providers:
            row = VendorSettings.model_validate({"api": api, "base_url": f"{self.emulator.url}/openai/v1"})
            self.providers[api] = connect(api, row, SimulationSettings())
        model = CATALOGUE.get(request.model)
        if how == "answer":
            return await self.providers[api].answer(model, request)
        return joined_answer([delta async for delta in self.providers[api].stream(model, request)], model.name, False)

    @property
    def path(self) -> str:
        return self.emulator.journal[-1].path.rpartition("/v1")[2]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Emulator().running() as emulator:
        bench = Bench(emulator)
        yield bench
        for provider in bench.providers.values():
            await provider.aclose()


def chat(model: str, *messages: Message, **more: Any) -> ModelRequest:
    effort = None if model == OLD else "none" if model == LUNA else "low"
    room = {"effort": effort, "thinking_tokens": 200 if effort == "low" else 0}
    return ModelRequest(model=model, messages=messages or (HELLO,), **(room | {"options": ChatOptions()} | more))


@APIS
@BOTH
@pytest.mark.parametrize("model", [LUNA, OLD])
async def test_a_tool_is_called_and_takes_its_result(api: str, how: str, model: str, bench: Bench) -> None:
    called = await bench.answer(api, how, chat(model, ASKED, options=TOOLS))
    (call,) = called.tool_calls
    assert called.finish == "tool_calls" and called.text == "" and bench.path == "/chat/completions"
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "text"})
    assert called.usage is not None and called.usage.output_tokens == bench.emulator.journal[-1].completion_tokens
    turn = (Message(role="assistant", tool_calls=called.tool_calls), result(call))
    final = await bench.answer(api, how, chat(model, ASKED, *turn, options=TOOLS))
    assert final.finish == "stop" and final.text and final.tool_calls == ()


def result(call: ToolCall) -> Message:
    return Message(role="tool", content=("rain",), tool_call_id=call.call_id)


@BOTH
async def test_tools_of_a_model_that_always_thinks_go_to_the_responses_api(how: str, bench: Bench) -> None:
    called = await bench.answer("openai", how, chat(SOL, ASKED, options=TOOLS))
    (call,) = called.tool_calls
    assert called.finish == "tool_calls" and bench.path == "/responses" and json.loads(call.arguments)
    assert called.usage is not None and called.usage.thinking_tokens == 120 and called.service_tier == "default"
    final = await bench.answer(
        "openai", how, chat(SOL, ASKED, Message(role="assistant", tool_calls=(call,)), result(call), options=TOOLS)
    )
    assert final.finish == "stop" and final.text.startswith("This is the emulator")
    plain = await bench.answer("openai", how, chat(SOL))
    assert plain.text and bench.path == "/chat/completions"


@BOTH
@pytest.mark.parametrize("model", [LUNA, SOL, OLD])
async def test_an_image_in_the_result_of_a_tool_goes_to_the_responses_api(how: str, model: str, bench: Bench) -> None:
    turn = (
        Message(role="assistant", tool_calls=(ToolCall(call_id="c", name="get_weather", arguments="{}"),)),
        Message(role="tool", content=("the map", Image(data=jpeg(8, 8))), tool_call_id="c"),
    )
    answer = await bench.answer("openai", how, chat(model, ASKED, *turn, options=TOOLS))
    assert answer.finish == "stop" and bench.path == "/responses" and bench.emulator.journal[-1].images == 1
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer("openai-compatible", how, chat(model, ASKED, *turn, options=TOOLS))
    assert refused.value.reason == "Chat completions take no image in the result of a tool."


async def test_a_compatible_server_is_never_sent_to_the_responses_api(bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer("openai-compatible", "answer", chat(SOL, ASKED, options=TOOLS))
    assert bench.path == "/chat/completions" and refused.value.vendor_param == "reasoning_effort"


@APIS
@BOTH
async def test_a_conversation_of_another_vendor_goes_on_here(api: str, how: str, bench: Bench) -> None:
    foreign = ToolCall(call_id="toolu_" + "A" * 60, name="get_weather", arguments="{}", signature="of another vendor")
    turn = (Message(role="assistant", content=("Wait.",), tool_calls=(foreign,)), result(foreign))
    assert (await bench.answer(api, how, chat(LUNA, ASKED, *turn, options=TOOLS))).finish == "stop"
    if api == "openai":
        assert (await bench.answer(api, how, chat(SOL, ASKED, *turn, options=TOOLS))).finish == "stop"


@APIS
@BOTH
async def test_a_forced_tool_is_a_tool_call(api: str, how: str, bench: Bench) -> None:
    options = replace(TOOLS, tool_choice=ToolChoice(mode="function", name="get_weather"), parallel_tool_calls=False)
    answer = await bench.answer(api, how, chat(LUNA, options=options))
    assert answer.finish == "tool_calls" and answer.tool_calls[0].name == "get_weather"


@APIS
@BOTH
async def test_calls_of_unknown_tools_and_broken_arguments_are_passed_on_as_they_came(
    api: str, how: str, bench: Bench
) -> None:
    bench.emulator.plan(Fault(foreign_tool=True))
    bench.emulator.plan(Fault(broken_arguments=True))
    foreign, broken = [await bench.answer(api, how, chat(LUNA, options=TOOLS)) for _ in range(2)]
    assert foreign.tool_calls[0].name == FOREIGN_TOOL and broken.tool_calls[0].arguments == BROKEN_ARGUMENTS


@BOTH
@pytest.mark.parametrize(("model", "options"), [(LUNA, ChatOptions()), (SOL, TOOLS)], ids=["chat", "responses"])
async def test_structured_output_follows_its_schema(how: str, model: str, options: ChatOptions, bench: Bench) -> None:
    strict = ResponseFormat(type="json_schema", name="city", schema=CLOSED, strict=True)
    answer = await bench.answer("openai", how, chat(model, options=replace(options, response_format=strict)))
    assert json.loads(answer.text) == {"city": "text"} and answer.finish == "stop"


@APIS
@BOTH
async def test_the_limit_leaves_room_for_thought_and_an_answer_of_thought_only_says_so(
    api: str, how: str, bench: Bench
) -> None:
    roomy = await bench.answer(api, how, chat(SOL, max_output_tokens=100))
    eaten = await bench.answer(api, how, chat(SOL, max_output_tokens=100, thinking_tokens=0))
    assert roomy.finish == "stop" and len(roomy.text.split()) == 24
    assert eaten.finish == "length" and eaten.text == "" and eaten.usage is not None
    assert eaten.usage.output_tokens == eaten.usage.thinking_tokens == 100


@APIS
@BOTH
async def test_sampling_probabilities_and_stops_are_passed(api: str, how: str, bench: Bench) -> None:
    options = ChatOptions(temperature=0.1, top_p=0.9, seed=7, logprobs=True, top_logprobs=1, stop=("emulator",))
    answer = await bench.answer(api, how, chat(OLD, options=replace(options, frequency_penalty=0.1)))
    assert answer.text == "This is the" and answer.logprobs is not None
    assert "".join(token["token"] for token in answer.logprobs["content"]) == answer.text


@APIS
@BOTH
async def test_the_served_tier_is_the_vendors_word(api: str, how: str, bench: Bench) -> None:
    flex = ChatOptions(service_tier="flex")
    bench.emulator.plan(Fault(served_tier="default"))
    other, same = [await bench.answer(api, how, chat(LUNA, options=flex)) for _ in range(2)]
    assert (other.service_tier, same.service_tier) == ("default", "flex")


@APIS
async def test_usage_of_the_first_chunk_is_no_count_of_the_answer(api: str, bench: Bench) -> None:
    bench.emulator.plan(Fault(usage_first=True))
    answer = await bench.answer(api, "stream", chat(LUNA))
    assert answer.text and answer.finish == "stop" and answer.usage is None


@APIS
@BOTH
async def test_a_refusal_has_the_vendors_reason_and_parameter(api: str, how: str, bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer(api, how, chat(SOL, options=ChatOptions(temperature=0.1)))
    error = refused.value
    assert type(error) is ProviderRefused and (error.status, error.billable, error.retryable) == (400, False, False)
    assert error.reason and "temperature" in error.reason and error.vendor_param == error.param == "temperature"
    assert error.facts["vendor_code"] == "unsupported_value" and "temperature" not in str(error)


@APIS
@BOTH
async def test_a_request_beyond_the_context_is_an_error_of_its_own(api: str, how: str, bench: Bench) -> None:
    with pytest.raises(ProviderContextTooLong) as refused:
        await bench.answer(api, how, chat(OLD, Message(role="user", content=("word " * 130_000,))))
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")


async def test_a_text_that_cannot_be_encoded_is_refused_and_nothing_is_sent(bench: Bench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await bench.answer("openai", "answer", chat(LUNA, Message(role="user", content=("\ud800",))))
    assert not refused.value.billable and len(bench.emulator.journal) == 0


async def test_an_unknown_model_is_a_mistake_of_the_configuration(bench: Bench) -> None:
    bench.emulator.plan(Fault(status=404))
    with pytest.raises(ProviderMisconfigured) as refused:
        await bench.answer("openai", "answer", chat(LUNA))
    assert refused.value.status == 502


@APIS
@BOTH
async def test_pictures_of_several_formats_and_details_are_taken(api: str, how: str, bench: Bench) -> None:
    images = (Image(data=jpeg(64, 64), detail="low"), "and", Image(data=jpeg(32, 32), detail="high"))
    answer = await bench.answer(api, how, chat(LUNA, Message(role="user", content=("Look:", *images))))
    assert answer.text and bench.emulator.journal[-1].images == 2
