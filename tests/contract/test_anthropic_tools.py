"""Tools, thinking, structured output and the prompt cache of the emulated Anthropic, by its own SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.core.answers import BROKEN_ARGUMENTS
from cluster.lab.emulator.core.tools import FOREIGN_TOOL
from tests.contract.anthropic_clients import connect

SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-5-5"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: dict[str, Any] = {"name": "get_weather", "description": "Return the weather.", "input_schema": SCHEMA}
CLOCK: dict[str, Any] = {"name": "clock", "input_schema": {"type": "object"}}
QUESTION: list[Any] = [{"role": "user", "content": "Use get weather, please."}]
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
CALL: dict[str, Any] = {"model": HAIKU, "max_tokens": 500, "messages": QUESTION, "tools": [WEATHER]}
LOW: dict[str, Any] = {"output_config": {"effort": "low"}}
OFF: dict[str, Any] = {"thinking": {"type": "disabled"}}


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with connect(emulator) as client:
        yield client


async def events(client: anthropic.AsyncAnthropic, **body: Any) -> list[Any]:
    async with await client.messages.create(**body, stream=True) as stream:
        return [event async for event in stream]


async def accumulated(client: anthropic.AsyncAnthropic, **body: Any) -> Any:
    async with client.messages.stream(**body) as stream:
        return await stream.get_final_message()


def results(message: Any, *more: Any) -> list[Any]:
    """Return the messages that send the result of the one call in a message."""
    (call,) = [block for block in message.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    answered = {"role": "assistant", "content": [block.to_dict() for block in message.content]}
    return [answered, {"role": "user", "content": [result, *more]}]


async def test_a_tool_is_called_after_a_thought_and_takes_its_result(client: anthropic.AsyncAnthropic) -> None:
    called = await client.messages.create(**CALL | LOW)
    thought, call = called.content
    assert called.stop_reason == "tool_use" and thought.type == "thinking" and thought.thinking == ""
    assert call.type == "tool_use" and call.input == {"city": "text"} and thought.signature
    final = await client.messages.create(**CALL | LOW | {"messages": [*QUESTION, *results(called)]})
    assert final.stop_reason == "end_turn" and final.content[-1].type == "text"


async def test_a_streamed_call_is_the_whole_one_in_pieces(client: anthropic.AsyncAnthropic) -> None:
    whole = await client.messages.create(**CALL | LOW)
    streamed = await accumulated(client, **CALL | LOW)
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
    assert streamed.usage == whole.usage and whole.usage.service_tier == "standard"
    pieces = [e.delta.partial_json for e in await events(client, **CALL | OFF) if e.type == "content_block_delta"]
    assert pieces[0] == "" and len(pieces) > 2 and json.loads("".join(pieces)) == {"city": "text"}


async def test_a_call_without_arguments_has_an_empty_object_and_no_piece_of_it(
    client: anthropic.AsyncAnthropic,
) -> None:
    body = CALL | OFF | {"tools": [CLOCK], "tool_choice": {"type": "any"}}
    pieces = [e.delta.partial_json for e in await events(client, **body) if e.type == "content_block_delta"]
    (call,) = (await accumulated(client, **body)).content
    assert pieces == [""] and call.input == {}


async def test_calls_in_parallel_can_be_switched_off(client: anthropic.AsyncAnthropic) -> None:
    both = CALL | OFF | {"tools": [WEATHER, CLOCK], "messages": [{"role": "user", "content": "get weather and clock"}]}
    one = both | {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    assert [len((await client.messages.create(**body)).content) for body in (both, one)] == [2, 1]


async def test_thinking_blocks_of_a_changed_conversation_are_refused_and_those_of_another_model_dropped(
    client: anthropic.AsyncAnthropic,
) -> None:
    called = await client.messages.create(**CALL | LOW)
    turn = results(called)
    changed = [{"role": "user", "content": "Use get weather, now."}, *turn]
    with pytest.raises(anthropic.BadRequestError, match="was changed"):
        await client.messages.create(**CALL | LOW | {"messages": changed})
    with pytest.raises(anthropic.BadRequestError, match="was changed"):
        await client.messages.create(**CALL | LOW | {"messages": [*QUESTION, *turn], "system": "Be brief."})
    turn[0]["content"][0] |= {"thinking": "made up"}
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        await client.messages.create(**CALL | LOW | {"messages": [*QUESTION, *turn]})
    elsewhere = await client.messages.create(
        **CALL | LOW | {"model": SONNET, "messages": [*QUESTION, *results(called)]}
    )
    assert elsewhere.stop_reason == "end_turn"


async def test_thinking_counts_against_the_output_limit_and_can_exhaust_it(client: anthropic.AsyncAnthropic) -> None:
    exhausted = await client.messages.create(model=SONNET, max_tokens=64, messages=HELLO)
    assert exhausted.stop_reason == "max_tokens" and [block.type for block in exhausted.content] == ["thinking"]
    assert exhausted.usage.output_tokens == 64 and exhausted.usage.output_tokens_details is not None
    assert exhausted.usage.output_tokens_details.thinking_tokens == 64
    body: dict[str, Any] = {"model": SONNET, "max_tokens": 64, "messages": HELLO}
    plain = await client.messages.create(**body, thinking={"type": "between_tools"})
    assert plain.stop_reason == "end_turn" and [block.type for block in plain.content] == ["text"]


async def test_structured_output_parses(client: anthropic.AsyncAnthropic) -> None:
    parsed = await client.messages.parse(**CALL | OFF | {"messages": HELLO, "output_format": City})
    assert parsed.parsed_output == City(name="text", inhabitants=0)


async def test_a_stop_sequence_is_named(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(**CALL | OFF | {"messages": HELLO, "stop_sequences": ["emulator"]})
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "emulator")
    assert answer.content[0].type == "text" and answer.content[0].text == "This is the"


async def test_a_marked_prefix_is_written_and_then_read_and_a_small_one_is_not(
    client: anthropic.AsyncAnthropic,
) -> None:
    body: dict[str, Any] = {**CALL, **OFF, "messages": HELLO, "tools": []}

    def system(words: int, **control: str) -> list[Any]:
        return [{"type": "text", "text": "word " * words, "cache_control": {"type": "ephemeral"} | control}]

    async def counts(text: list[Any]) -> tuple[Any, ...]:
        usage = (await client.messages.create(**body | {"system": text})).usage
        assert usage.cache_creation is not None
        split = usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens
        return usage.input_tokens, usage.cache_read_input_tokens, *split

    assert [await counts(system(600)) for _ in "ab"] == [(1, 0, 600, 0), (1, 600, 0, 0)]
    assert await counts(system(700, ttl="1h")) == (1, 0, 0, 700)
    assert [await counts(system(511)) for _ in "ab"] == [(512, 0, 0, 0)] * 2


async def test_a_growing_conversation_reads_the_prefix_that_its_last_request_cached(
    client: anthropic.AsyncAnthropic,
) -> None:
    def turn(role: str, words: int, marked: bool) -> Any:
        control = {"cache_control": {"type": "ephemeral"}} if marked else {}
        return {"role": role, "content": [{"type": "text", "text": "word " * words} | control]}

    first = [turn("user", 300, False), turn("assistant", 300, True), turn("user", 10, False)]
    second = [first[0], turn("assistant", 300, False), first[2], turn("assistant", 20, True), turn("user", 5, False)]
    usages = [
        (await client.messages.create(**CALL | OFF | {"messages": m, "tools": []})).usage for m in (first, second)
    ]
    counts = [(u.cache_creation_input_tokens, u.cache_read_input_tokens, u.input_tokens) for u in usages]
    assert counts == [(600, 0, 10), (30, 600, 5)]


async def test_faults_of_usage_tier_and_tools(client: anthropic.AsyncAnthropic, emulator: Emulator) -> None:
    emulator.plan(Fault(served_tier="priority"))
    assert (await client.messages.create(**CALL | OFF)).usage.service_tier == "priority"
    emulator.plan(Fault(foreign_tool=True))
    (foreign,) = (await client.messages.create(**CALL | OFF)).content
    assert foreign.type == "tool_use" and foreign.name == FOREIGN_TOOL
    emulator.plan(Fault(broken_arguments=True))
    pieces = [e.delta.partial_json for e in await events(client, **CALL | OFF) if e.type == "content_block_delta"]
    assert "".join(pieces) == BROKEN_ARGUMENTS
    emulator.plan(Fault(refusal="refused"))
    refused = await client.messages.create(**CALL | OFF)
    assert refused.stop_reason == "refusal" and refused.stop_details and refused.stop_details.explanation


async def test_the_events_of_a_stream_come_in_order(emulator: Emulator, client: anthropic.AsyncAnthropic) -> None:
    response = await client.messages.with_raw_response.create(**CALL | LOW, stream=True)
    lines = (await response.http_response.aread()).decode().splitlines()
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    thought = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert names[:5] == ["message_start", "ping", *thought]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"] and len(emulator.journal) == 1
