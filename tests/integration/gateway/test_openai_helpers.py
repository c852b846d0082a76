"""The `openai` client's helpers against the routes: `.stream()` and `.parse()`, with tools and a pydantic model."""

from __future__ import annotations

from typing import Any

import openai
from pydantic import BaseModel

from tests.support.gateway import InProcessCluster


class Slide(BaseModel):
    """The contents of a slide."""

    title: str
    page: int
    labels: list[str]


class OpenPage(BaseModel):
    """Open a page of the slides."""

    page: int


OPEN_PAGE = openai.pydantic_function_tool(OpenPage, name="open_page")
REQUEST: list[Any] = [{"role": "user", "content": "Please open page three."}]


async def test_an_accumulated_stream_is_accepted_as_the_next_requests_history(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="simple", messages=REQUEST) as stream:
        message = (await stream.get_final_completion()).choices[0].message
    assert message.role == "assistant" and (message.content or "").startswith("[simulated gpt-6-luna]")
    # The plain dump carries every null and the SDK's own fields, as agents send it back.
    history = [*REQUEST, message.model_dump(), {"role": "user", "content": "And the next one?"}]
    answered = await client.chat.completions.create(model="simple", messages=history)
    assert answered.choices[0].message.content


async def test_a_streamed_tool_call_is_accumulated_and_its_result_answered(
    client: openai.AsyncOpenAI, cluster: InProcessCluster
) -> None:
    async with client.chat.completions.stream(model="simple", messages=REQUEST, tools=[OPEN_PAGE]) as stream:
        choice = (await stream.get_final_completion()).choices[0]
    (call,) = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls" and isinstance(call.function.parsed_arguments, OpenPage)
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "Page three is open."}
    history: list[Any] = [*REQUEST, choice.message.model_dump(), result]
    async with client.chat.completions.stream(model="simple", messages=history, tools=[OPEN_PAGE]) as stream:
        final = (await stream.get_final_completion()).choices[0]
    assert final.finish_reason == "stop" and final.message.content and not final.message.tool_calls
    assert len(await cluster.events()) == 2


async def test_an_answer_is_parsed_into_a_pydantic_model(client: openai.AsyncOpenAI) -> None:
    parsed = await client.chat.completions.parse(model="simple", messages=REQUEST, response_format=Slide)
    assert isinstance(parsed.choices[0].message.parsed, Slide)


async def test_a_streamed_answer_is_parsed_into_a_pydantic_model(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="simple", messages=REQUEST, response_format=Slide) as stream:
        final = await stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Slide)


async def test_the_arguments_of_a_call_are_parsed_into_the_tools_model(client: openai.AsyncOpenAI) -> None:
    parsed = await client.chat.completions.parse(model="simple", messages=REQUEST, tools=[OPEN_PAGE])
    (call,) = parsed.choices[0].message.tool_calls or []
    assert call.function.name == "open_page" and isinstance(call.function.parsed_arguments, OpenPage)
