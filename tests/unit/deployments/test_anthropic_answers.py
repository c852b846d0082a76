"""Answers in Anthropic's form are read event by event, with their thinking in a call's signature."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.providers.anthropic.answers import MessageEventReader
from deployments.providers.anthropic.messages import message_body
from routing.catalogue import Model
from routing.chat import ChatOptions, Message, Tool
from routing.deltas import joined_answer, joined_tool_calls
from routing.models import Answer, Delta, ModelRequest, Tier, Usage

MODEL = Model(name="m", vendor="v", services=("llm",), tier=Tier.SIMPLE, source="a test")
REQUEST = ModelRequest(
    model="m", messages=(Message(role="user", content=("hello",)),), options=ChatOptions(tools=(Tool(name="f"),))
)
THOUGHT = {"type": "thinking", "thinking": "Let me see.", "signature": "s"}
HIDDEN = {"type": "redacted_thinking", "data": "d"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": "ä"}}
USAGE = {"input_tokens": 5, "output_tokens": 9, "service_tier": "priority"}


def whole(*blocks: Any, stop: str | None = "end_turn", **more: Any) -> Answer:
    """Return the answer of a stream in which each block begins with all of its content."""
    begun = [event for block in blocks for event in (start(block), STOP)]
    return joined_answer(read(BEGUN, *begun, ended(stop, {"output_tokens": 9}, **more)), "m", False)


def test_thinking_is_no_text_and_a_text_of_several_blocks_is_one() -> None:
    answer = whole(THOUGHT, {"type": "text", "text": "a"}, {"type": "something_new"}, {"type": "text", "text": "b"})
    assert (answer.text, answer.finish, answer.service_tier) == ("ab", "stop", "priority")
    assert answer.usage == Usage(input_tokens=5, output_tokens=9) and answer.tool_calls == ()


def test_thinking_goes_back_with_the_call_that_followed_it() -> None:
    answer = whole(THOUGHT, HIDDEN, CALL, CALL | {"id": "toolu_2", "input": {}}, stop="tool_use")
    first, second = answer.tool_calls
    assert answer.finish == "tool_calls" and first.arguments == '{"a": "ä"}' and second.arguments == "{}"
    assert first.signature is not None and second.signature is None
    turn = Message(role="assistant", tool_calls=answer.tool_calls)
    results = [Message(role="tool", content=("x",), tool_call_id=call.call_id) for call in answer.tool_calls]
    again = ModelRequest(model="m", messages=(*REQUEST.messages, turn, *results), options=REQUEST.options)
    assert message_body(MODEL, again)["messages"][1]["content"][:2] == [THOUGHT, HIDDEN]


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "refusal"),
        ("a_new_reason", "stop"),
    ],
)
def test_every_stop_reason_has_a_finish(stop: str, finish: str) -> None:
    assert whole({"type": "text", "text": "a"}, stop=stop).finish == finish


def test_a_refusal_without_text_has_the_vendors_explanation() -> None:
    details = {"type": "refusal", "explanation": "No."}
    assert whole(stop="refusal", stop_details=details).text == "No."
    assert whole({"type": "text", "text": "I"}, stop="refusal", stop_details=details).text == "I"
    assert whole(stop="refusal", stop_details=None).text == ""


def read(*events: dict[str, Any]) -> list[Delta]:
    reader = MessageEventReader(MODEL, REQUEST)
    return [delta for event in events if (delta := reader.read(event)) is not None]


def start(block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": block}


def piece(**delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def arguments(text: str) -> dict[str, Any]:
    return piece(type="input_json_delta", partial_json=text)


def ended(stop: str | None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop} | delta} | ({"usage": usage} if usage else {})


BEGUN = {"type": "message_start", "message": {"usage": USAGE | {"output_tokens": 1}}}
STOP = {"type": "content_block_stop", "index": 0}
TOOL = CALL | {"input": {}}


def test_a_streamed_call_has_its_thinking_on_its_first_piece() -> None:
    thought = [
        start({"type": "thinking", "thinking": "", "signature": ""}),
        piece(type="thinking_delta", thinking="Let "),
        piece(type="thinking_delta", thinking="me see."),
        piece(type="signature_delta", signature="s"),
        STOP,
    ]
    call = [start(TOOL), arguments(""), arguments('{"a": '), arguments('"ä"}'), STOP]
    second = [start(TOOL | {"id": "toolu_2"}), arguments(""), STOP]
    deltas = read(BEGUN, {"type": "ping"}, *thought, start(HIDDEN), STOP, *call, *second, ended("tool_use"))
    calls = joined_tool_calls(one for delta in deltas for one in delta.tool_calls)
    assert calls == whole(THOUGHT, HIDDEN, CALL, TOOL | {"id": "toolu_2"}).tool_calls
    assert deltas[-1].finish == "tool_calls" and not any(delta.text for delta in deltas)
    told, first, second_thought, begun, *_ = deltas
    assert told.usage_so_far == Usage(input_tokens=5) and begun.tool_calls[0].signature == calls[0].signature
    assert (first.thinking_bytes, second_thought.thinking_bytes) == (4, 7)


def test_an_input_that_came_whole_is_not_completed_again() -> None:
    (delta,) = read(start(CALL), STOP)
    assert delta.tool_calls[0].arguments == '{"a": "ä"}'


def test_the_usage_of_the_end_counts_and_keeps_the_input_and_the_tier_of_the_beginning() -> None:
    start_usage = USAGE | {"cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 4}}
    begun = {"type": "message_start", "message": {"usage": start_usage}}
    end = {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 30}}
    text = [start({"type": "text", "text": "a"}), piece(type="text_delta", text="b"), STOP]
    *pieces, last = read(begun, *text, ended("end_turn", end))
    assert "".join(delta.text for delta in pieces) == "ab" and all(delta.usage is None for delta in pieces)
    assert last.usage == Usage(
        input_tokens=12, cache_write_tokens=7, cache_write_1h_tokens=4, output_tokens=40, thinking_tokens=30
    )
    assert (last.finish, last.service_tier) == ("stop", "priority")


@pytest.mark.parametrize("usage", [None, {"input_tokens": 5}])
def test_usage_without_output_at_the_end_is_unknown(usage: Any) -> None:
    assert read(BEGUN, ended("end_turn", usage))[-1].usage is None


def test_a_streamed_refusal_explains_itself_only_where_nothing_was_said() -> None:
    details = {"stop_details": {"explanation": "No."}}
    assert read(BEGUN, ended("refusal", **details))[-1].text == "No."
    spoke = [start({"type": "text", "text": ""}), piece(type="text_delta", text="I"), STOP]
    assert read(BEGUN, *spoke, ended("refusal", **details))[-1].text == ""
