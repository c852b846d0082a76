"""Tools, structured output, thinking, cache and tiers of the emulated Gemini, by Google's own SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from cluster.lab.emulator import Emulator, Fault
from cluster.lab.emulator.core.tools import FOREIGN_TOOL
from tests.contract.test_genai_sdk import connect

LITE, FLASH, OLD = "gemini-3.5-flash-lite", "gemini-3.8-flash", "gemini-2.5-flash"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = types.FunctionDeclaration(name="get_weather", description="Weather.", parameters_json_schema=SCHEMA)
TIME = types.FunctionDeclaration(name="get_time")
TOOLS = types.Tool(function_declarations=[WEATHER, TIME])
MANUAL = types.AutomaticFunctionCallingConfig(disable=True)
QUESTION = types.Content(role="user", parts=[types.Part(text="get weather and get time")])


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[genai.Client]:
    client = connect(emulator)
    yield client
    await client.aio.aclose()


async def whole(
    client: genai.Client, model: str, contents: Any = QUESTION, **config: Any
) -> types.GenerateContentResponse:
    settings = types.GenerateContentConfig(automatic_function_calling=MANUAL, **config)
    return await client.aio.models.generate_content(model=model, contents=contents, config=settings)


async def chunks(client: genai.Client, model: str, **config: Any) -> list[types.GenerateContentResponse]:
    settings = types.GenerateContentConfig(automatic_function_calling=MANUAL, **config)
    stream = await client.aio.models.generate_content_stream(model=model, contents=QUESTION, config=settings)
    return [chunk async for chunk in stream]


def content(response: types.GenerateContentResponse) -> types.Content:
    assert response.candidates and response.candidates[0].content
    return response.candidates[0].content


def reason(response: types.GenerateContentResponse) -> types.FinishReason | None:
    assert response.candidates
    return response.candidates[0].finish_reason


def parts(response: types.GenerateContentResponse) -> list[types.Part]:
    return content(response).parts or []


@pytest.mark.parametrize("model", [LITE, OLD])
async def test_parallel_calls_come_whole_and_take_their_responses(model: str, client: genai.Client) -> None:
    called = await whole(client, model, tools=[TOOLS])
    calls, first = called.function_calls, parts(called)[0]
    assert calls and [(call.name, call.args) for call in calls] == [("get_weather", {"city": "text"}), ("get_time", {})]
    assert reason(called) == types.FinishReason.STOP and called.text is None
    # Newer models name each call and sign the first.
    assert [bool(call.id) for call in calls] == [model == LITE] * 2 and bool(first.thought_signature) is (model == LITE)
    answers = [types.FunctionResponse(id=call.id, name=call.name, response={"output": "ok"}) for call in calls]
    responses = types.Content(role="user", parts=[types.Part(function_response=answer) for answer in answers])
    final = await whole(client, model, [QUESTION, content(called), responses], tools=[TOOLS])
    assert final.text and reason(final) == types.FinishReason.STOP


async def test_a_stream_has_the_calls_of_the_whole_answer(client: genai.Client) -> None:
    one = await whole(client, LITE, tools=[TOOLS])
    streamed = await chunks(client, LITE, tools=[TOOLS])
    assert [part for chunk in streamed[:-1] for part in parts(chunk)] == parts(one)
    assert streamed[-1].usage_metadata == one.usage_metadata and reason(streamed[-1]) == types.FinishReason.STOP


async def test_the_sdk_calls_functions_by_itself_through_a_chat(client: genai.Client) -> None:
    cities: list[str] = []

    def get_weather(city: str) -> str:
        """Return the weather of a city."""
        cities.append(city)
        return "rain"

    chat = client.aio.chats.create(model=FLASH, config=types.GenerateContentConfig(tools=[get_weather]))
    assert (await chat.send_message("get weather")).text and cities == ["text"]
    assert (await chat.send_message("and now?")).text


async def test_a_history_without_thoughts_is_refused_by_newer_models(client: genai.Client) -> None:
    called = await whole(client, LITE, tools=[TOOLS])
    unsigned = [part.model_copy(update={"thought_signature": None}) for part in parts(called)]
    answers = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={}))
        for call in called.function_calls or ()
    ]
    history = [QUESTION, types.Content(role="model", parts=unsigned), types.Content(role="user", parts=answers)]
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        await whole(client, LITE, history, tools=[TOOLS])


async def test_modes_force_forbid_and_narrow_the_calls(client: genai.Client) -> None:
    def mode(name: str, *allowed: str) -> types.ToolConfig:
        choice = types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode(name), allowed_function_names=list(allowed) or None
        )
        return types.ToolConfig(function_calling_config=choice)

    forced = await whole(client, LITE, "hello", tools=[TOOLS], tool_config=mode("ANY", "get_time"))
    assert [call.name for call in forced.function_calls or ()] == ["get_time"]
    assert not (await whole(client, LITE, tools=[TOOLS], tool_config=mode("NONE"))).function_calls
    assert not (await whole(client, LITE, "hello", tools=[TOOLS])).function_calls


async def test_structured_output_parses(client: genai.Client) -> None:
    parsed = await whole(client, LITE, response_mime_type="application/json", response_schema=City)
    assert parsed.parsed == City(name="text", inhabitants=0)
    schema = await whole(
        client, LITE, response_mime_type="application/json", response_json_schema=City.model_json_schema()
    )
    assert json.loads(schema.text or "") == {"name": "text", "inhabitants": 0}
    assert isinstance(json.loads((await whole(client, OLD, response_mime_type="application/json")).text or ""), dict)


async def test_thinking_can_exhaust_a_small_output_limit_and_is_billed(client: genai.Client) -> None:
    empty = await whole(client, FLASH, max_output_tokens=64)
    assert reason(empty) == types.FinishReason.MAX_TOKENS and empty.text is None and empty.usage_metadata
    assert (empty.usage_metadata.thoughts_token_count, empty.usage_metadata.candidates_token_count) == (64, None)
    last = (await chunks(client, FLASH, max_output_tokens=64))[-1]
    assert reason(last) == types.FinishReason.MAX_TOKENS and last.usage_metadata == empty.usage_metadata


@pytest.mark.parametrize(
    ("model", "config", "thoughts"),
    [
        (LITE, {}, None),
        (LITE, {"thinking_level": types.ThinkingLevel.HIGH}, 700),
        (FLASH, {}, 160),
        (OLD, {}, 300),
        (OLD, {"thinking_budget": 50}, 50),
        (OLD, {"thinking_budget": 0}, None),
    ],
)
async def test_thoughts_follow_the_level_or_the_budget(
    model: str, config: dict[str, Any], thoughts: int | None, client: genai.Client
) -> None:
    usage = (await whole(client, model, thinking_config=types.ThinkingConfig(**config))).usage_metadata
    assert usage and usage.thoughts_token_count == thoughts


async def test_a_long_prefix_is_read_from_the_cache_at_no_charge_for_writing(client: genai.Client) -> None:
    usages = [(await whole(client, OLD, system_instruction="word " * 3_000)).usage_metadata for _ in "ab"]
    assert [usage and usage.cached_content_token_count for usage in usages] == [None, 2_048]
    assert [usage and usage.prompt_token_count for usage in usages] == [3_005, 3_005]


async def test_the_served_tier_is_in_a_header(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(served_tier="standard"))
    answers = [await whole(client, LITE, service_tier=types.ServiceTier.PRIORITY) for _ in "ab"]
    streamed = (await chunks(client, LITE))[0]
    headers = [answer.sdk_http_response and answer.sdk_http_response.headers for answer in (*answers, streamed)]
    assert [found and found["x-gemini-service-tier"] for found in headers] == ["standard", "priority", "standard"]


async def test_log_probabilities_are_those_of_each_token(client: genai.Client) -> None:
    answer = await whole(client, "a model of nobody", response_logprobs=True, logprobs=1)
    assert answer.candidates and answer.candidates[0].logprobs_result
    result = answer.candidates[0].logprobs_result
    assert " ".join(token.token or "" for token in result.chosen_candidates or ()) == answer.text
    assert result.top_candidates and len(result.top_candidates) == len(result.chosen_candidates or ())


async def test_faults_of_usage_and_tools(client: genai.Client, emulator: Emulator) -> None:
    emulator.plan(Fault(usage_first=True))
    counts = [chunk.usage_metadata for chunk in await chunks(client, LITE)]
    assert counts[0] and counts[0].candidates_token_count is None and not any(counts[1:])
    emulator.plan(Fault(foreign_tool=True))
    emulator.plan(Fault(broken_arguments=True))
    foreign, broken = await whole(client, LITE, tools=[TOOLS]), await whole(client, LITE, tools=[TOOLS])
    assert [call.name for call in foreign.function_calls or ()] == [FOREIGN_TOOL]
    assert reason(broken) == types.FinishReason.MALFORMED_FUNCTION_CALL and not broken.function_calls
