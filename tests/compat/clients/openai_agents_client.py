"""openai-agents: a function tool and an output type, through its default responses API and through chat completions."""

import os

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

from checks import run

MODEL = os.environ["OPENAI_MODEL"]
REQUEST = "Please open page three."

set_tracing_disabled(True)


class Slide(BaseModel):
    """The contents of a slide."""

    title: str
    page: int


def chat_model() -> OpenAIChatCompletionsModel:
    return OpenAIChatCompletionsModel(MODEL, AsyncOpenAI(max_retries=0))


def responses_model() -> OpenAIResponsesModel:
    return OpenAIResponsesModel(MODEL, AsyncOpenAI(max_retries=0))


async def tool(model: object) -> None:
    pages: list[int] = []

    @function_tool
    def open_page(page: int) -> str:
        """Open a page of the slides."""
        pages.append(page)
        return "It shows a chart of sales."

    result = await Runner.run(Agent(name="Slides", model=model, tools=[open_page]), REQUEST)
    assert len(pages) == 1 and result.final_output


async def streamed(model: object) -> None:
    result = Runner.run_streamed(Agent(name="Slides", model=model, model_settings=ModelSettings()), "Hello")
    events = [event async for event in result.stream_events()]
    assert events and result.final_output


async def output(model: object) -> None:
    result = await Runner.run(Agent(name="Slides", model=model, output_type=Slide), "Describe the slide.")
    assert isinstance(result.final_output, Slide)


run(
    "openai-agents",
    {
        "tool, responses": lambda: tool(responses_model()),
        "stream, responses": lambda: streamed(responses_model()),
        "output type, responses": lambda: output(responses_model()),
        "tool, chat": lambda: tool(chat_model()),
        "stream, chat": lambda: streamed(chat_model()),
        "output type, chat": lambda: output(chat_model()),
    },
)
