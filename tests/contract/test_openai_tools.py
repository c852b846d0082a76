"""Tools, structured output and the shape of streams in the emulated chat completions, by OpenAI's own SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.core.answers import BROKEN_ARGUMENTS
from cluster.lab.emulator.core.tools import FOREIGN_TOOL
from tests.contract.openai_clients import connect

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
NAMED: list[Any] = [{"role": "user", "content": "get weather"}]
CALL: dict[str, Any] = {"model": "gpt-6-luna", "messages": NAMED, "reasoning_effort": "none", "tools": [WEATHER]}
LAMP: Any = {"type": "function", "function": {"name": "lamp"}}
TWO_CALLS = {**CALL, "tools": [WEATHER, LAMP], "messages": [{"role": "user", "content": "get weather, then the lamp"}]}
PLAIN: dict[str, Any] = {**CALL, "messages": [{"role": "user", "content": "hello"}]}


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connect(emulator) as client:
        yield client


async def chunks(client: openai.AsyncOpenAI, **body: Any) -> list[Any]:
    async with await client.chat.completions.create(**body, stream=True) as stream:
        return [chunk async for chunk in stream]


async def test_a_called_tool_has_no_content_and_takes_its_result(client: openai.AsyncOpenAI) -> None:
    choice = (await client.chat.completions.create(**CALL)).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None and choice.message.tool_calls
    (call,) = choice.message.tool_calls
    assert call.type == "function" and json.loads(call.function.arguments) == {"city": "text"}
    messages = [*NAMED, choice.message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    final = await client.chat.completions.create(**CALL | {"messages": messages})
    assert final.choices[0].finish_reason == "stop" and final.choices[0].message.content


async def test_a_streamed_call_accumulates_to_the_whole_one(client: openai.AsyncOpenAI) -> None:
    whole = (await client.chat.completions.create(**CALL)).choices[0].message
    async with client.chat.completions.stream(**CALL) as stream:
        async for _ in stream:
            pass
        accumulated = (await stream.get_final_completion()).choices[0].message
    assert accumulated.tool_calls and whole.tool_calls and accumulated.role == "assistant"
    assert accumulated.tool_calls[0].function.arguments == whole.tool_calls[0].function.arguments
    assert accumulated.tool_calls[0].id == whole.tool_calls[0].id


async def test_two_calls_stream_one_after_the_other_each_with_its_own_index(client: openai.AsyncOpenAI) -> None:
    pieces = [piece for c in await chunks(client, **TWO_CALLS) for piece in c.choices[0].delta.tool_calls or ()]
    assert [(piece.index, piece.function.name) for piece in pieces if piece.id] == [(0, "get_weather"), (1, "lamp")]
    one = await client.chat.completions.create(**TWO_CALLS, parallel_tool_calls=False)
    assert one.choices[0].message.tool_calls and len(one.choices[0].message.tool_calls) == 1


async def test_the_role_is_in_the_first_delta_alone(client: openai.AsyncOpenAI) -> None:
    for body in (CALL, TWO_CALLS, PLAIN):
        roles = [chunk.choices[0].delta.role for chunk in await chunks(client, **body)]
        assert roles[0] == "assistant" and not any(roles[1:]) and len(roles) > 3


async def test_chunks_name_tier_and_fingerprint_and_hide_the_length_of_their_text(client: openai.AsyncOpenAI) -> None:
    options = {"include_usage": True}
    padded = await chunks(client, **PLAIN, service_tier="fast", stream_options=options)
    bare = await chunks(client, **PLAIN, stream_options=options | {"include_obfuscation": False})
    assert all(chunk.obfuscation and chunk.service_tier == "priority" for chunk in padded)
    assert all(chunk.system_fingerprint for chunk in padded) and padded[0].to_dict()["usage"] is None
    assert not any(chunk.obfuscation for chunk in bare) and {chunk.service_tier for chunk in bare} == {"default"}


async def test_structured_output_parses(client: openai.AsyncOpenAI) -> None:
    parsed = await client.chat.completions.parse(**PLAIN | {"response_format": City, "tools": openai.omit})
    assert parsed.choices[0].message.parsed == City(name="text", inhabitants=0)
    some = await client.chat.completions.create(
        **CALL | {"messages": [{"role": "user", "content": "as JSON"}], "response_format": {"type": "json_object"}}
    )
    assert isinstance(json.loads(some.choices[0].message.content or ""), dict)


async def test_a_tool_parses_its_arguments(client: openai.AsyncOpenAI) -> None:
    tool = openai.pydantic_function_tool(City, name="get_weather")
    parsed = await client.chat.completions.parse(**CALL | {"tools": [tool]})
    assert parsed.choices[0].message.tool_calls
    assert parsed.choices[0].message.tool_calls[0].function.parsed_arguments == City(name="text", inhabitants=0)


async def test_two_answers_cost_their_words_twice(client: openai.AsyncOpenAI) -> None:
    one = await client.chat.completions.create(**PLAIN)
    two = await client.chat.completions.create(**PLAIN, n=2)
    assert [choice.index for choice in two.choices] == [0, 1] and one.usage and two.usage
    assert two.usage.completion_tokens == 2 * one.usage.completion_tokens
    assert {c.choices[0].index for c in await chunks(client, **PLAIN, n=2)} == {0, 1}


async def test_log_probabilities_are_those_of_each_token(client: openai.AsyncOpenAI) -> None:
    whole = (await client.chat.completions.create(**PLAIN, logprobs=True, top_logprobs=1)).choices[0]
    assert whole.logprobs and whole.logprobs.content
    assert "".join(token.token for token in whole.logprobs.content) == whole.message.content
    streamed = [c.choices[0] for c in await chunks(client, **PLAIN, logprobs=True)]
    assert all(bool(choice.logprobs) == bool(choice.delta.content) for choice in streamed)


async def test_an_old_model_stops_at_a_sequence(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="gpt-4o", messages=NAMED, stop=["emulator"])
    assert answer.choices[0].message.content == "This is the" and answer.choices[0].finish_reason == "stop"


async def test_reasoning_can_exhaust_a_small_output_limit_and_is_billed(client: openai.AsyncOpenAI) -> None:
    empty = await client.chat.completions.create(model="gpt-6.1-sol", messages=NAMED, max_completion_tokens=64)
    assert (empty.choices[0].message.content, empty.choices[0].finish_reason) == ("", "length")
    assert empty.usage and empty.usage.completion_tokens_details and empty.usage.completion_tokens == 64
    assert empty.usage.completion_tokens_details.reasoning_tokens == 64


async def test_a_long_prefix_is_written_to_the_cache_and_read_from_it(client: openai.AsyncOpenAI) -> None:
    long = [{"role": "system", "content": "word " * 1_200}]
    first, second = [
        (await client.chat.completions.create(**PLAIN | {"messages": [*long, *NAMED], "tools": openai.omit})).usage
        for _ in range(2)
    ]
    assert first and second and first.prompt_tokens_details and second.prompt_tokens_details
    assert (first.prompt_tokens_details.cached_tokens, first.prompt_tokens_details.cache_write_tokens) == (0, 1_152)
    assert (second.prompt_tokens_details.cached_tokens, second.prompt_tokens_details.cache_write_tokens) == (1_152, 0)
    assert first.prompt_tokens == second.prompt_tokens == 1_202


async def test_faults_of_usage_tier_and_tools(client: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.plan(Fault(usage_first=True, served_tier="priority"))
    odd = await chunks(client, **PLAIN, stream_options={"include_usage": True})
    assert odd[0].usage and odd[0].usage.completion_tokens == 0 and not any(chunk.usage for chunk in odd[1:])
    assert odd[-1].service_tier == "priority" and odd[-1].choices[0].finish_reason == "stop"
    emulator.plan(Fault(foreign_tool=True))
    emulator.plan(Fault(broken_arguments=True))
    calls: list[Any] = [(await client.chat.completions.create(**PLAIN)).choices[0].message.tool_calls for _ in "ab"]
    (foreign,), (broken,) = calls
    assert foreign.function.name == FOREIGN_TOOL and broken.function.arguments == BROKEN_ARGUMENTS
