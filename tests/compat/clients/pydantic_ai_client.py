"""pydantic-ai: a tool, and every kind of output type, through chat completions and responses."""

import os

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from checks import run

MODEL = os.environ["OPENAI_MODEL"]


class Slide(BaseModel):
    """The contents of a slide."""

    title: str
    page: int


async def tool(model: Model) -> None:
    agent = Agent(model)
    pages: list[int] = []

    @agent.tool_plain
    def open_page(page: int) -> str:
        """Open a page of the slides."""
        pages.append(page)
        return "It shows a chart of sales."

    result = await agent.run("Please open page three.")
    assert len(pages) == 1 and result.output


async def streamed() -> None:
    async with Agent(OpenAIChatModel(MODEL)).run_stream("Hello") as result:
        assert await result.get_output()


async def output(kind: object) -> None:
    result = await Agent(OpenAIChatModel(MODEL), output_type=kind).run("Describe the slide.")
    assert isinstance(result.output, Slide)


run(
    "pydantic-ai-slim",
    {
        "tool": lambda: tool(OpenAIChatModel(MODEL)),
        "run_stream": streamed,
        "output type, tool": lambda: output(ToolOutput(Slide, name="final_result")),
        "output type, native": lambda: output(NativeOutput(Slide)),
        "tool, responses": lambda: tool(OpenAIResponsesModel(MODEL)),
    },
)
