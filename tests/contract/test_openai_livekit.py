"""LiveKit's plugin for OpenAI, a client that is not OpenAI's own, against the strict emulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit.agents import APIStatusError, function_tool, llm
from livekit.plugins.openai import LLM

from cluster.lab.emulator import Emulator


@function_tool
async def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


@pytest.fixture
async def model(emulator: Emulator) -> AsyncIterator[LLM]:
    model = LLM(model="gpt-6-luna", reasoning_effort="none", base_url=f"{emulator.url}/openai/v1", api_key="k")
    yield model
    await model.aclose()


async def answer(model: LLM, context: llm.ChatContext, **more: Any) -> llm.CollectedResponse:
    async with model.chat(chat_ctx=context, tools=[get_weather], **more) as stream:
        return await stream.collect()


async def test_a_function_tool_is_called_with_its_result_answered(model: LLM, emulator: Emulator) -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Please get weather.")
    called = await answer(model, context)
    (call,) = called.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "text"}) and not called.text
    assert called.usage is not None and called.usage.completion_tokens == emulator.journal[-1].completion_tokens
    context.insert(llm.FunctionCall(call_id=call.call_id, name=call.name, arguments=call.arguments))
    output = llm.FunctionCallOutput(call_id=call.call_id, name=call.name, output="rain", is_error=False)
    context.insert(output)
    final = await answer(model, context)
    assert final.text.startswith("This is the emulator speaking") and final.tool_calls == []


async def test_a_model_that_always_thinks_refuses_the_plugins_tools_in_a_chat(emulator: Emulator) -> None:
    model = LLM(model="gpt-6.1-sol", base_url=f"{emulator.url}/openai/v1", api_key="k")
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="hello")
    with pytest.raises(APIStatusError, match="/v1/responses"):
        await answer(model, context)
    await model.aclose()
