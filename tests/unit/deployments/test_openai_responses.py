"""Requests that chat completions refuse go to the Responses API in its form, and the events of its answers are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployments.providers.openai_responses import EventReader, response_body
from routing.catalogue import Model
from routing.chat import (
    ChatOptions,
    Effort,
    EncryptedThought,
    Image,
    Message,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
)
from routing.deltas import joined_answer
from routing.errors import ProviderOverloaded, ProviderRefused
from routing.models import Finish, ModelRequest, Tier, Usage

MODEL = Model(name="m", vendor="openai", services=("llm",), tier=Tier.COMPLEX, source="a test")
SCHEMA = {"type": "object", "properties": {}}
TOOLS = ChatOptions(tools=(Tool(name="f", parameters=SCHEMA, strict=True), Tool(name="g")))
HELLO = Message(role="user", content=("hello",))
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 16,
}
COUNTED = Usage(input_tokens=9, cached_input_tokens=4, cache_write_tokens=2, output_tokens=7, thinking_tokens=5)


def request(*messages: Message, options: ChatOptions = TOOLS, effort: Effort | None = "low") -> ModelRequest:
    return ModelRequest(model="m", messages=messages or (HELLO,), options=options, effort=effort, thinking_tokens=100)


def test_a_request_is_stateless_and_its_functions_are_flat_and_as_strict_as_given() -> None:
    body = response_body(MODEL, request())
    assert body["store"] is False and body["reasoning"] == {"effort": "low"} and body["max_output_tokens"] == 400
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True},
        {"type": "function", "name": "g", "parameters": SCHEMA, "strict": False},
    ]
    assert body["input"] == [{"role": "user", "content": "hello"}]


def test_choice_format_and_verbosity_take_the_other_form() -> None:
    options = ChatOptions(
        tools=TOOLS.tools,
        tool_choice=ToolChoice(mode="function", name="f"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(type="json_schema", name="s", schema=SCHEMA, strict=True),
        verbosity="low",
        service_tier="flex",
    )
    body = response_body(MODEL, request(options=options))
    assert body["tool_choice"] == {"type": "function", "name": "f"} and body["parallel_tool_calls"] is False
    described = {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}
    assert body["text"] == {"verbosity": "low", "format": described} and body["service_tier"] == "flex"


def test_encrypted_thoughts_precede_the_message_to_which_they_led() -> None:
    thought = EncryptedThought(encrypted="gAAA", summary=("I look it up.",))
    call = ToolCall(call_id="c", name="f", arguments="{}")
    messages = (HELLO, Message(role="assistant", thoughts=(thought,), tool_calls=(call,)))
    sent = response_body(MODEL, request(*messages))["input"]
    assert [item.get("type") for item in sent] == [None, "reasoning", "function_call"]
    summary = [{"type": "summary_text", "text": "I look it up."}]
    assert sent[1] == {"type": "reasoning", "summary": summary, "encrypted_content": "gAAA"}


@pytest.mark.parametrize(("options", "name"), [({"stop": ("a",)}, "stop"), ({"seed": 7}, "seed")])
def test_an_option_of_chat_completions_alone_is_refused_by_name(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        response_body(MODEL, request(options=ChatOptions(**options)))
    assert refused.value.param == name
    assert response_body(MODEL, request(options=ChatOptions(frequency_penalty=0.0)))


def test_a_tool_conversation_becomes_items_and_an_image_may_be_a_result() -> None:
    call = ToolCall(call_id="toolu_" + "x" * 70, name="f", arguments="{}")
    messages = (
        Message(role="system", content=("Be short.",)),
        Message(role="user", content=("look", Image(data=b"a", detail="high"))),
        Message(role="assistant", content=("Wait.",), tool_calls=(call,)),
        Message(role="tool", content=(Image(data=b"b"),), tool_call_id=call.call_id),
    )
    system, user, said, called, result = response_body(MODEL, request(*messages))["input"]
    assert system == {"role": "system", "content": "Be short."} and said == {"role": "assistant", "content": "Wait."}
    assert user["content"] == [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/jpeg;base64,YQ==", "detail": "high"},
    ]
    assert called["type"] == "function_call" and len(called["call_id"]) <= 64 and "id" not in called
    assert result["type"] == "function_call_output" and result["call_id"] == called["call_id"]
    assert [part["type"] for part in result["output"]] == ["input_image"]


def response(status: str = "completed", reason: str | None = None, *output: Any) -> dict[str, Any]:
    details = {"reason": reason} if reason else None
    return {"status": status, "incomplete_details": details, "output": list(output), "usage": USAGE, "error": None}


def message(kind: str, text: str) -> dict[str, Any]:
    field = "refusal" if kind == "refusal" else "text"
    return {"type": "message", "content": [{"type": kind, field: text}]}


CALLED = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
ANSWERS: list[tuple[dict[str, Any], str, Finish]] = [
    (response("completed", None, {"type": "reasoning"}, message("output_text", "Hi.")), "Hi.", "stop"),
    (response("completed", None, message("refusal", "No.")), "No.", "refusal"),
    (response("completed", None, CALLED), "", "tool_calls"),
    (response("incomplete", "max_output_tokens"), "", "length"),
    (response("incomplete", "content_filter"), "", "refusal"),
]


@pytest.mark.parametrize(("body", "text", "finish"), ANSWERS)
def test_an_answer_has_its_text_its_finish_and_its_usage(body: dict[str, Any], text: str, finish: Finish) -> None:
    ended = {"type": f"response.{body['status']}", "response": body | {"service_tier": "default"}}
    answer = joined_answer(list(EventReader().read([*_pieces(body["output"]), ended])), "m", False)
    assert (answer.text, answer.finish, answer.usage, answer.service_tier) == (text, finish, COUNTED, "default")


def _pieces(output: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the events of output items that begin with all of their content."""
    for index, item in enumerate(output):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        for part in item.get("content", ()):
            field = "refusal" if part["type"] == "refusal" else "text"
            yield {"type": f"response.{part['type']}.delta", "delta": part[field]}


def test_usage_at_the_beginning_and_the_length_of_thinking_are_reported() -> None:
    begun = {"type": "response.created", "response": response("in_progress")}
    thought = {"type": "response.reasoning_text.delta", "delta": "Hm é"}
    early, thinking = EventReader().read([begun, {"type": "response.in_progress", "response": {}}, thought])
    assert early.usage_so_far == COUNTED and thinking.thinking_bytes == 5


def test_events_become_deltas_with_calls_counted_from_zero() -> None:
    item = CALLED | {"arguments": ""}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.output_item.added", "output_index": 2, "item": item},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
        {"type": "response.completed", "response": response("completed", None, CALLED) | {"service_tier": "flex"}},
    ]
    text, begun, more, end = EventReader().read(events)
    assert text.text == "Hi" and begun.tool_calls == (ToolCallDelta(index=0, call_id="c", name="f"),)
    assert more.tool_calls == (ToolCallDelta(index=0, arguments="{}"),)
    assert (end.finish, end.usage, end.service_tier) == ("tool_calls", COUNTED, "flex")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_is_overloaded", "message": "?", "param": None},
        {"type": "error", "error": {"type": "server_error", "code": "server_is_overloaded"}},
        {"type": "response.failed", "response": {"error": {"code": "server_is_overloaded"}}},
    ],
)
def test_an_error_event_follows_the_deltas_before_it(event: dict[str, Any]) -> None:
    deltas = EventReader().read([{"type": "response.output_text.delta", "delta": "Hi"}, event])
    assert next(deltas).text == "Hi"
    with pytest.raises(ProviderOverloaded):
        next(deltas)
