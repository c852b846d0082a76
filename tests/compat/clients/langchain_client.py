"""langchain-openai: words, tools and structured output."""

import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from checks import run

MODEL = os.environ["OPENAI_MODEL"]


class Slide(BaseModel):
    """The contents of a slide."""

    title: str
    page: int


@tool
def open_page(page: int) -> str:
    """Open a page of the slides."""
    return f"Page {page} shows a chart of sales."


def chat(**settings: bool) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, max_retries=0, **settings)


async def streamed_words() -> None:
    chunks = [chunk async for chunk in chat().astream("Hello")]
    assert "".join(chunk.text for chunk in chunks)


async def bound_tools(model: ChatOpenAI) -> None:
    bound = model.bind_tools([open_page])
    history = [HumanMessage("Please open page three.")]
    called = await bound.ainvoke(history)
    (call,) = called.tool_calls
    result = await open_page.ainvoke(call)
    assert isinstance(result, ToolMessage)
    answered = await bound.ainvoke([*history, called, result])
    assert answered.text and not answered.tool_calls


async def chat_tools() -> None:
    await bound_tools(chat())


async def responses_tools() -> None:
    await bound_tools(chat(use_responses_api=True))


async def structured(method: str) -> None:
    model = chat().with_structured_output(Slide, method=method)
    # Some methods call a tool named after the class.
    assert isinstance(await model.ainvoke("Please describe the Slide."), Slide)


async def embeddings() -> None:
    # Without this check the texts are sent as text. The check loads a tokenizer from the internet, which may be away.
    model = OpenAIEmbeddings(model="auto", check_embedding_ctx_length=False, max_retries=0)
    first, second = await model.aembed_documents(["a slide", "another"])
    assert first and len(first) == len(second)


run(
    "langchain-openai",
    {
        "stream": streamed_words,
        "bind_tools": chat_tools,
        "with_structured_output, json_schema": lambda: structured("json_schema"),
        "with_structured_output, function_calling": lambda: structured("function_calling"),
        "embeddings": embeddings,
        "bind_tools, responses": responses_tools,
    },
)
