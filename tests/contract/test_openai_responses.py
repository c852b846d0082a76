"""OpenAI's Responses API in the emulator: its refusals, and answers that pass the SDK's strict validation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import response_create_params

from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.chat.openai.responses_request import FIELDS
from tests.contract.openai_clients import connect, refusal

SOL, PATH = "gpt-6.1-sol", "/responses"
PING = [{"role": "user", "content": "ping"}]
Json = dict[str, Any]
Row = tuple[str, Json, str | None, str | None]


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connect(emulator) as client:
        yield client


def flat(name: str = "f") -> Json:
    return {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}


CALLED = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
REFUSED: dict[str, Row] = {
    "an invented parameter": (SOL, {"messages": PING}, "unknown_parameter", "messages"),
    "15 output tokens": (SOL, {"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
    "no thought where it is due": (SOL, {"reasoning": {"effort": "none"}}, "unsupported_value", "reasoning.effort"),
    "a temperature while thinking": (SOL, {"temperature": 0.2}, "unsupported_parameter", "temperature"),
    "a nested function": (
        SOL,
        {"tools": [{"type": "function", "function": flat()}]},
        "unknown_parameter",
        "tools[0].function",
    ),
    "text for the assistant": (
        SOL,
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}]},
        "invalid_value",
        "input[0].content[0].type",
    ),
    "a result of no call": (
        SOL,
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "a"}]},
        None,
        "input",
    ),
    "a call without its result": (SOL, {"input": [CALLED]}, None, "input"),
    "a long call id": (SOL, {"input": [CALLED | {"call_id": "c" * 65}]}, "string_above_max_length", "input[0].call_id"),
    "a foreign item id": (SOL, {"input": [CALLED | {"id": "call_1"}]}, "invalid_value", "input[0].id"),
    "an open strict schema": (
        SOL,
        {"text": {"format": {"type": "json_schema", "name": "s", "strict": True, "schema": {"type": "object"}}}},
        "invalid_json_schema",
        "text.format.schema",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_response_is_refused_by_status_code_and_parameter(name: str, client: openai.AsyncOpenAI) -> None:
    model, fragment, code, param = REFUSED[name]
    error = await refusal(client, PATH, {"model": model, "input": "ping"} | fragment)
    assert (error.code, error.param) == (code, param)


async def test_a_response_takes_tools_with_reasoning_and_the_highest_effort(client: openai.AsyncOpenAI) -> None:
    body = {"model": SOL, "input": "ping", "tools": [flat()], "reasoning": {"effort": "max"}, "store": False}
    assert isinstance(await client.post(PATH, cast_to=object, body=body), dict)


def test_the_known_fields_are_those_of_the_sdk() -> None:
    known = set(response_create_params.ResponseCreateParamsBase.__annotations__) | {"stream"}
    stateful = {"background", "background_options", "conversation", "previous_response_id", "prompt"}
    hosted = {"access_programs", "context_management", "image", "moderation"}
    assert known - set(FIELDS) == stateful | hosted and set(FIELDS) <= known


async def test_an_answer_has_a_reasoning_item_text_and_usage(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.create(model=SOL, input="ping", reasoning={"effort": "low"}, service_tier="flex")
    assert [item.type for item in answer.output] == ["reasoning", "message"] and answer.status == "completed"
    assert answer.output_text.startswith("This is the emulator speaking") and answer.service_tier == "flex"
    assert answer.usage is not None and answer.usage.output_tokens_details.reasoning_tokens == 120
    assert answer.usage.output_tokens == 120 + 24 and answer.usage.total_tokens == 1 + 144


async def test_reasoning_that_reaches_the_limit_leaves_an_incomplete_empty_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.create(model=SOL, input="ping", max_output_tokens=64)
    assert answer.status == "incomplete" and answer.output_text == "" and answer.incomplete_details
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage is not None and answer.usage.output_tokens == 64


async def test_a_stream_ends_with_the_whole_answer(client: openai.AsyncOpenAI) -> None:
    text_so_far, last = "", None
    async with client.responses.stream(model=SOL, input="ping") as events:
        async for event in events:
            text_so_far += event.delta if event.type == "response.output_text.delta" else ""
            last = event
    assert last is not None and last.type == "response.completed" and text_so_far == last.response.output_text
    assert last.response.usage is not None and last.response.usage.output_tokens == 160 + 24


async def test_a_tool_call_streams_its_arguments_and_takes_its_result(client: openai.AsyncOpenAI) -> None:
    tool: Any = {**flat("get_weather"), "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    tool["parameters"]["required"] = ["city"]
    question: list[Any] = [{"role": "user", "content": "get weather"}]
    async with client.responses.stream(model=SOL, input=question, tools=[tool]) as events:
        arguments = "".join([e.delta async for e in events if e.type == "response.function_call_arguments.delta"])
        answer = await events.get_final_response()
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert json.loads(arguments) == json.loads(call.arguments) == {"city": "text"} and call.name == "get_weather"
    sent: Any = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    final = await client.responses.create(model=SOL, input=[*question, sent, result], tools=[tool])
    assert final.output_text


async def test_structured_output_is_an_instance_of_its_schema(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"red": {"type": "boolean"}}, "required": ["red"]}
    text: Any = {"format": {"type": "json_schema", "name": "color", "schema": schema, "strict": False}}
    answer = await client.responses.create(model=SOL, input="ping", text=text)
    assert json.loads(answer.output_text) == {"red": False}


async def test_an_overload_inside_a_stream_is_an_error_event(client: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.plan(Fault(overload_after_chunks=2))
    async with await client.responses.create(model=SOL, input="ping", stream=True) as events:
        last = [event async for event in events][-1]
    assert last.type == "error" and last.code == "server_is_overloaded"
