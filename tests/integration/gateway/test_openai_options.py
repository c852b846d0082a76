"""The real `openai` client with tools, answer formats and options, against scripted models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from deployments.common.settings import LlmSettings
from deployments.gateway.service import Gateway
from routing.chat import ResponseFormat, Tool, ToolCall, ToolCallDelta, ToolChoice
from routing.models import Answer, Delta
from tests.support.gateway import InProcessCluster, gateway_in_process
from tests.support.scripted_replica import USAGE, ScriptedReplica

LUNA = "gpt-6-luna"
USER: list[Any] = [{"role": "user", "content": "What is the weather in Rome?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "x", "parameters": CITY}}
CALL = ToolCall(call_id="call_1", name="weather", arguments='{"city": "Rome"}', signature="thought")


class City(BaseModel):
    city: str


@pytest.fixture
async def gateway_and_cluster(
    tmp_path: Path, models: ScriptedReplica
) -> AsyncIterator[tuple[Gateway, InProcessCluster]]:
    llm = LlmSettings(simple=(LUNA,), complex=("gpt-6.1-sol", "claude-sonnet-5-5"))
    async with gateway_in_process(tmp_path, llm=llm, leaf=models) as both:
        yield both


async def test_a_tool_is_called_and_its_result_answered_with_the_vendors_signature(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    models.answers.append(Answer(text="", model=LUNA, finish="tool_calls", usage=USAGE, tool_calls=(CALL,)))
    called = await client.chat.completions.create(model="simple", messages=USER, tools=[TOOL], tool_choice="required")
    message = called.choices[0].message
    assert called.choices[0].finish_reason == "tool_calls" and message.content is None and message.tool_calls
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "20 C"}
    await client.chat.completions.create(model="simple", messages=[*USER, message, result], tools=[TOOL])  # type: ignore[list-item]
    first, second = models.requests
    assert first.options.tools == (Tool(name="weather", description="x", parameters=CITY),)
    assert first.options.tool_choice == ToolChoice(mode="required")
    _, called_again, answered = second.messages
    assert called_again.tool_calls == (CALL,) and (answered.tool_call_id, answered.text) == ("call_1", "20 C")


async def test_a_streamed_tool_call_is_accumulated_by_the_client(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    models.streams.append(
        (
            Delta(tool_calls=(ToolCallDelta(index=0, call_id="call_1", name="weather", signature="thought"),)),
            Delta(tool_calls=(ToolCallDelta(index=0, arguments='{"city": '),)),
            Delta(tool_calls=(ToolCallDelta(index=0, arguments='"Rome"}'),)),
            Delta(finish="tool_calls", usage=USAGE),
        )
    )
    async with client.chat.completions.stream(
        model="simple", messages=USER, tools=[TOOL], stream_options={"include_usage": True}
    ) as stream:
        final = await stream.get_final_completion()
    message, usage = final.choices[0].message, final.usage
    assert message.role == "assistant" and message.tool_calls is not None and usage is not None
    assert usage.total_tokens == 10
    (call,) = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})
    messages = [*USER, message, {"role": "tool", "tool_call_id": call.id, "content": "20 C"}]
    await client.chat.completions.create(model="simple", messages=messages, tools=[TOOL])
    assert models.requests[1].messages[1].tool_calls == (CALL,)


async def test_an_answer_is_parsed_to_the_type_that_was_requested(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    models.answers.append(Answer(text='{"city": "Rome"}', model=LUNA, finish="stop", usage=USAGE))
    parsed = await client.chat.completions.parse(model="simple", messages=USER, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Rome")
    wanted = models.requests[0].options.response_format
    assert isinstance(wanted, ResponseFormat) and (wanted.type, wanted.name, wanted.strict) == (
        "json_schema",
        "City",
        True,
    )


async def test_a_refusal_is_no_parsed_answer(client: openai.AsyncOpenAI, models: ScriptedReplica) -> None:
    models.answers += [Answer(text="I cannot.", model=LUNA, finish="refusal", usage=USAGE)] * 2
    parsed = await client.chat.completions.parse(model=LUNA, messages=USER, response_format=City)
    assert parsed.choices[0].message.refusal == "I cannot." and parsed.choices[0].message.parsed is None


async def test_a_model_without_an_option_is_refused_by_its_name_or_answers_without_it(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    request: dict[str, Any] = {"model": "claude-sonnet-5-5", "messages": USER, "seed": 7}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(**request)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "seed")
    assert "claude-sonnet-5-5" in refused.value.message and models.requests == []
    await client.chat.completions.create(**request, extra_body={"drop_params": True, "top_k": 40})
    assert models.requests[0].options.seed is None


async def test_an_answer_is_as_long_as_the_default_for_chats_and_not_as_a_spoken_one(
    client: openai.AsyncOpenAI, models: ScriptedReplica
) -> None:
    await client.chat.completions.create(model="simple", messages=USER)
    await client.chat.completions.create(model="simple", messages=USER, max_completion_tokens=50)
    assert [request.max_output_tokens for request in models.requests] == [4_096, 50]
