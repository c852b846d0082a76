"""Requests in OpenAI's form hold what was given and nothing else; answers are read in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.providers.call_ids import accepted_call_id
from deployments.providers.openai_chat import LONGEST_CALL_ID, ChunkReader, chat_body
from routing.capabilities import Capabilities
from routing.catalogue import Model
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCall, ToolCallDelta, ToolChoice
from routing.errors import ProviderRefused
from routing.models import ModelRequest, Tier, Usage

MODEL = Model(name="m", vendor="v", services=("llm",), tier=Tier.SIMPLE, source="a test", max_output_tokens=500)
HELLO = Message(role="user", content=("hello",))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool(name="weather", parameters=SCHEMA)


def body(*messages: Message, **more: Any) -> dict[str, Any]:
    request = ModelRequest(model="m", messages=messages or (HELLO,), **more)
    return chat_body(MODEL, request, "max_completion_tokens")


def test_a_bare_request_sends_nothing_that_was_not_given() -> None:
    assert body(max_output_tokens=9) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "max_completion_tokens": 9,
    }


def test_the_limit_holds_visible_text_and_thinking_up_to_the_models_own() -> None:
    assert body(max_output_tokens=100, thinking_tokens=50, effort="low")["max_completion_tokens"] == 150
    assert body(max_output_tokens=400, thinking_tokens=200)["max_completion_tokens"] == 500
    assert body(effort="none")["reasoning_effort"] == "none"


def test_options_keep_their_names_and_forms() -> None:
    options = ChatOptions(
        tools=(Tool(name="f", description="Do it.", parameters=SCHEMA, strict=True), Tool(name="g")),
        tool_choice=ToolChoice(mode="function", name="f"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(type="json_schema", name="s", schema=SCHEMA, strict=True),
        temperature=0.0,
        top_p=0.5,
        stop=("a", "b"),
        seed=0,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=2,
        verbosity="low",
        service_tier="flex",
        reasoning_effort="high",
    )
    sent = body(options=options)
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "Do it.", "parameters": SCHEMA, "strict": True},
        },
        {"type": "function", "function": {"name": "g"}},
    ]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    described = {"name": "s", "schema": SCHEMA, "strict": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": described}
    assert (sent["temperature"], sent["top_p"], sent["seed"], sent["stop"]) == (0.0, 0.5, 0, ["a", "b"])
    assert (sent["frequency_penalty"], sent["presence_penalty"]) == (0.1, -0.1)
    assert sent["logit_bias"] == {"50256": -100} and sent["parallel_tool_calls"] is False
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 2)
    assert (sent["verbosity"], sent["service_tier"]) == ("low", "flex")
    # The effort to send is the router's decision.
    assert "reasoning_effort" not in sent


def test_a_choice_without_tools_is_not_sent() -> None:
    sent = body(options=ChatOptions(tool_choice=ToolChoice(mode="auto"), parallel_tool_calls=True))
    assert not {"tool_choice", "parallel_tool_calls"} & set(sent)


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_the_other_choices_are_words(mode: Any) -> None:
    assert body(options=ChatOptions(tools=(WEATHER,), tool_choice=ToolChoice(mode=mode)))["tool_choice"] == mode


def test_texts_and_images_keep_their_order_and_detail() -> None:
    parts = ("one", Image(data=b"a", media_type="image/png", detail="low"), "", "two", Image(data=b"b"))
    (message,) = body(Message(role="user", content=parts))["messages"]
    assert message["content"] == [
        {"type": "text", "text": "one"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YQ==", "detail": "low"}},
        {"type": "text", "text": "two"},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,Yg=="}},
    ]


def test_a_server_whose_rules_lack_the_detail_does_not_get_it() -> None:
    ruled = MODEL.model_copy(update={"capabilities": Capabilities(options=frozenset({"tools"}))})
    request = ModelRequest(model="m", messages=(Message(role="user", content=(Image(data=b"b", detail="high"),)),))
    (message,) = chat_body(ruled, request, "max_tokens")["messages"]
    assert message["content"] == [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,Yg=="}}]


def test_a_tool_conversation_has_null_content_and_matching_ids() -> None:
    foreign = "toolu_" + "x" * 50
    asked = Message(role="assistant", tool_calls=(ToolCall(call_id=foreign, name="weather", arguments="{}"),))
    said = Message(role="assistant", content=("Let me see.",), tool_calls=asked.tool_calls)
    result = Message(role="tool", content=("rain",), tool_call_id=foreign)
    first, second, third = body(asked, said, result)["messages"]
    (call,) = first["tool_calls"]
    assert first["content"] is None and second["content"] == "Let me see."
    assert call["type"] == "function" and call["function"] == {"name": "weather", "arguments": "{}"}
    assert call["id"] == third["tool_call_id"] and len(call["id"]) <= LONGEST_CALL_ID
    assert third["content"] == "rain" and third["role"] == "tool"


def test_an_image_in_the_result_of_a_tool_is_refused_here() -> None:
    with pytest.raises(ProviderRefused):
        body(Message(role="tool", content=(Image(data=b"a"),), tool_call_id="c"))


def test_an_id_that_fits_stays_and_any_other_one_becomes_its_hash() -> None:
    assert accepted_call_id("call_1-a", 40) == "call_1-a"
    mapped = {accepted_call_id(call_id, 40) for call_id in ("a b", "c" * 41, "", "\ud800", "é")}
    assert len(mapped) == 5 and all(len(one) == 37 and one.startswith("call_") for one in mapped)
    assert accepted_call_id("a b", 40) == accepted_call_id("a b", 40)


def chunk(finish: str | None = None, usage: Any = None, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": finish, "logprobs": logprobs}], "usage": usage}


def usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": output, "total_tokens": 5 + output}


def test_pieces_of_calls_have_their_id_and_name_once() -> None:
    reader = ChunkReader()
    begun = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]
    more = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x'}}]
    other = [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]
    deltas = [reader.read([chunk(role="assistant", tool_calls=calls)]) for calls in (begun, more, other)]
    assert [delta.tool_calls[0] for delta in deltas] == [
        ToolCallDelta(index=0, call_id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x'),
        ToolCallDelta(index=1, call_id="b", name="g", arguments="{}"),
    ]
    assert reader.read([chunk("stop")]).finish == "tool_calls"


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    reader = ChunkReader()
    read = [
        reader.read([chunk(tool_calls=[{"id": call_id, "function": {"name": "f", "arguments": "{}"}}])])
        for call_id in ("a", "b", "a")
    ]
    assert [(d.tool_calls[0].index, d.tool_calls[0].call_id) for d in read] == [(0, "a"), (1, "b"), (0, None)]


def test_a_forced_call_that_ends_with_stop_is_a_call() -> None:
    calls = [{"id": None, "function": {"name": "f", "arguments": {"a": 1}}}]
    delta = ChunkReader().read([chunk("stop", tool_calls=calls)])
    assert delta.finish == "tool_calls"
    assert delta.tool_calls == (ToolCallDelta(index=0, call_id="call_0", name="f", arguments='{"a": 1}'),)


def test_thinking_of_a_compatible_server_is_counted_and_is_no_text() -> None:
    delta = ChunkReader().read([chunk(reasoning_content="Hm é"), chunk(reasoning="Yes", content="a")])
    assert (delta.text, delta.thinking_bytes) == ("a", 8)


def test_chunks_that_arrive_together_are_one_delta() -> None:
    first = {"content": [{"token": "a"}], "refusal": None}
    second = {"content": [{"token": "b"}], "refusal": None}
    chunks = [chunk(content="a", logprobs=first), chunk(content="b", logprobs=second), chunk("stop")]
    delta = ChunkReader().read([*chunks, {"choices": [], "usage": usage(2), "service_tier": "default"}])
    assert (delta.text, delta.finish, delta.service_tier) == ("ab", "stop", "default")
    assert delta.logprobs == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}
    assert delta.usage == Usage(input_tokens=5, output_tokens=2)


def test_usage_before_more_text_is_no_count_of_the_answer() -> None:
    reader = ChunkReader()
    early = reader.read([chunk(usage=usage(0), content="")])
    later = [reader.read([chunk(content="a")]), reader.read([chunk("stop")])]
    assert [delta.usage for delta in (early, *later)] == [None, None, None]
    assert early.usage_so_far == Usage(input_tokens=5)


def test_usage_in_every_chunk_or_just_before_the_end_counts() -> None:
    each, before = ChunkReader(), ChunkReader()
    for count in (1, 2):
        assert each.read([chunk(usage=usage(count), content="a")]).usage is None
    assert each.read([chunk("stop", usage=usage(2))]).usage == Usage(input_tokens=5, output_tokens=2)
    before.read([chunk(content="a")])
    before.read([{"choices": [], "usage": usage(1)}])
    assert before.read([chunk("stop")]).usage == Usage(input_tokens=5, output_tokens=1)


def test_a_streamed_refusal_ends_as_one() -> None:
    reader = ChunkReader()
    assert reader.read([chunk(refusal="No.")]).text == "No." and reader.read([chunk("stop")]).finish == "refusal"
