"""An estimate is the most that a request should use, and a request beyond a model's limits reaches no vendor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routing.catalogue import FRAME_PX, load_catalogue
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCall
from routing.errors import BadInput, ContextTooLong
from routing.estimates import check_fits, estimate_chat, estimate_embedding, most_tokens, text_tokens
from routing.models import EmbedRequest, ModelRequest

CATALOGUE = load_catalogue()
HELLO = (Message(role="user", content=("hello",)),)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "ü" * 300}}}
TOOL = Tool(name="weather", description="Return the weather of a city.", parameters=SCHEMA)


def chat(*messages: Message, model: str = "claude-sonnet-5-5", options: ChatOptions | None = None) -> ModelRequest:
    return ModelRequest(model=model, messages=messages, max_output_tokens=150, options=options or ChatOptions())


def test_an_estimate_counts_the_text_the_image_and_every_output_token() -> None:
    model = CATALOGUE.get("claude-sonnet-5-5")
    estimate = estimate_chat(model, chat(Message(role="user", content=("a" * 300, Image(data=b"x")))))
    assert estimate.output_tokens == 150
    assert estimate.image_tokens == 37 * 21
    assert estimate.input_tokens >= 150 + estimate.image_tokens


def test_an_estimate_counts_the_room_for_thinking_as_output() -> None:
    model = CATALOGUE.get("gpt-6.1-sol")
    estimate = estimate_chat(model, replace(chat(*HELLO), thinking_tokens=1_024))
    assert (estimate.output_tokens, estimate.thinking_tokens) == (150 + 1_024, 1_024)
    capped = estimate_chat(model, replace(chat(*HELLO), thinking_tokens=127_999))
    assert capped.output_tokens == model.max_output_tokens


def test_tools_and_an_answers_schema_are_input() -> None:
    model = CATALOGUE.get("gpt-6-luna")
    plain = estimate_chat(model, chat(*HELLO)).input_tokens
    tools = estimate_chat(model, chat(*HELLO, options=ChatOptions(tools=(TOOL,)))).input_tokens
    wanted = ResponseFormat(type="json_schema", name="city", schema=SCHEMA)
    formatted = estimate_chat(model, chat(*HELLO, options=ChatOptions(response_format=wanted))).input_tokens
    # The description is 600 bytes, and a tool comes with a prompt of the vendor's.
    assert tools - plain >= 600 + 400
    assert 600 <= formatted - plain < tools - plain


def test_a_tool_call_and_its_result_are_input() -> None:
    call = ToolCall(call_id="1", name="weather", arguments='{"city": "' + "x" * 300 + '"}')
    calls = (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", tool_call_id="1", content=("y" * 300,)),
    )
    assert text_tokens(calls) >= text_tokens([replace(calls[0], tool_calls=()), calls[1]]) + 100
    assert text_tokens(calls[1:]) >= 100


def test_an_image_counts_by_its_size_and_as_a_frame_where_none_is_known() -> None:
    model = CATALOGUE.get("claude-haiku-5-5")

    def image_tokens(image: Image) -> int:
        return estimate_chat(model, chat(Message(role="user", content=(image,)))).image_tokens

    assert image_tokens(Image(data=b"x", width_px=280, height_px=29)) == 10 * 2
    assert image_tokens(Image(data=b"x")) == image_tokens(Image(data=b"x", width_px=1_024, height_px=576))
    known = EmbedRequest(
        model="v", inputs=(Message(role="user", content=(Image(data=b"x", width_px=10, height_px=20),)),)
    )
    assert estimate_embedding(known).image_px == 200
    unknown = EmbedRequest(model="v", inputs=(Message(role="user", content=(Image(data=b"x"),)),))
    assert estimate_embedding(unknown).image_px == FRAME_PX


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("a b c d " * 100, 400), ("1234567890" * 10, 100), ("{}[]!?" * 10, 60), ("é" * 50, 100), ("wxyz" * 25, 50)],
)
def test_no_tokenizer_makes_more_tokens_of_a_text_than_the_estimate(text: str, tokens: int) -> None:
    assert most_tokens(text) >= tokens


def test_a_prompt_that_may_be_written_to_the_cache_is_reserved_at_that_price() -> None:
    model = CATALOGUE.get("claude-sonnet-5-5")
    long = estimate_chat(model, chat(Message(role="user", content=("word " * 5_000,))))
    assert long.cache_write_tokens == long.input_tokens
    assert estimate_chat(model, chat(*HELLO)).cache_write_tokens == 0


def test_an_output_limit_below_the_least_of_a_vendor_is_reserved_as_that() -> None:
    model = CATALOGUE.get("gpt-6.1-sol")
    assert estimate_chat(model, replace(chat(*HELLO), max_output_tokens=1)).output_tokens == 16


def test_more_output_than_a_model_gives_is_refused_before_it_is_called() -> None:
    model = CATALOGUE.get("gpt-4o")
    check_fits(model, HELLO, 16_384)
    with pytest.raises(BadInput, match="gpt-4o answers with at most 16384 tokens") as refused:
        check_fits(model, HELLO, 16_385)
    assert (refused.value.status, refused.value.param) == (400, "max_tokens")


def test_a_conversation_beyond_the_context_is_refused_before_the_model_is_called() -> None:
    model, long = CATALOGUE.get("gpt-4o"), (Message(role="user", content=("word " * 200_000,)),)
    with pytest.raises(ContextTooLong, match="at least 200000 tokens long") as refused:
        check_fits(model, long, 300)
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")
    assert refused.value.param == "messages"
    check_fits(CATALOGUE.get("gpt-6-luna"), long, 300)
    with pytest.raises(ContextTooLong, match="takes at most 100000 here"):
        check_fits(CATALOGUE.get("gpt-6-luna"), long, 300, longest_input_tokens=100_000)


@pytest.mark.parametrize(
    "more",
    [
        Message(role="user", content=(Image(data=b"x"),) * 10),
        Message(role="assistant", tool_calls=(ToolCall(call_id="1", name="f", arguments="x" * 40_000),)),
    ],
    ids=["images", "tool calls"],
)
def test_the_answer_the_images_and_the_tool_calls_take_room_in_the_context_too(more: Message) -> None:
    model = CATALOGUE.get("gpt-4o")
    full = (Message(role="user", content=("word " * 120_000,)),)
    check_fits(model, full, 8_000)
    with pytest.raises(ContextTooLong):
        check_fits(model, full, 8_001)
    with pytest.raises(ContextTooLong):
        check_fits(model, (*full, more), 1_000)


def test_the_tools_and_the_thinking_take_room_in_the_context_too() -> None:
    model = CATALOGUE.get("gpt-4o")
    full = (Message(role="user", content=("word " * 127_000,)),)
    check_fits(model, full, 1_000)
    tools = ChatOptions(tools=(Tool(name="f", description="x" * 40),))
    with pytest.raises(ContextTooLong):
        check_fits(model, full, 1_000, options=tools)
    thinker = CATALOGUE.get("gpt-6-luna")
    long = (Message(role="user", content=("word " * 1_030_000,)),)
    check_fits(thinker, long, 1_000)
    with pytest.raises(ContextTooLong):
        check_fits(thinker, long, 1_000, options=ChatOptions(reasoning_effort="high"))
