"""A chat completion request becomes the router's messages and options, or an error that names its first wrong field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.api.chat.body import parse_chat
from deployments.api.chat.messages import to_messages, to_options
from deployments.api.chat.schemas import ChatRequest
from routing.chat import ChatOptions, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.errors import BadInput

USER = {"role": "user", "content": "Hello"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "x", "parameters": CITY, "strict": True}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "20 C"}


def parsed(**body: Any) -> ChatRequest:
    return parse_chat(json.dumps({"messages": [USER]} | body).encode())


def refusal(**body: Any) -> tuple[str | None, str]:
    with pytest.raises(BadInput) as refused:
        parsed(**body)
    return refused.value.param, refused.value.code


OPTIONS: dict[str, tuple[dict[str, Any], ChatOptions]] = {
    "tools": (
        {"tools": [TOOL]},
        ChatOptions(tools=(Tool(name="weather", description="x", parameters=CITY, strict=True),)),
    ),
    "stop text": ({"stop": "END"}, ChatOptions(stop=("END",))),
    "stop list": ({"stop": ["a", "b"]}, ChatOptions(stop=("a", "b"))),
    "JSON": (
        {"response_format": {"type": "json_object"}},
        ChatOptions(response_format=ResponseFormat(type="json_object")),
    ),
    "schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": CITY, "strict": True}}},
        ChatOptions(response_format=ResponseFormat(type="json_schema", name="x", schema=CITY, strict=True)),
    ),
    "sampling": (
        {"temperature": 0.5, "top_p": 0.9, "seed": 7, "frequency_penalty": 1, "presence_penalty": -1},
        ChatOptions(temperature=0.5, top_p=0.9, seed=7, frequency_penalty=1, presence_penalty=-1),
    ),
    "bias": ({"logit_bias": {"50256": -100}}, ChatOptions(logit_bias={"50256": -100})),
    "logprobs": ({"logprobs": True, "top_logprobs": 5}, ChatOptions(logprobs=True, top_logprobs=5)),
    "effort": ({"reasoning_effort": "high", "verbosity": "low"}, ChatOptions(reasoning_effort="high", verbosity="low")),
    "service": ({"service_tier": "priority"}, ChatOptions(service_tier="priority")),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_passed_on(name: str) -> None:
    body, options = OPTIONS[name]
    assert to_options(parsed(**body)) == options


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", None),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "function": {"name": "weather"}}, ToolChoice(mode="function", name="weather")),
    ],
)
def test_a_choice_of_tools_is_passed_on(choice: Any, expected: ToolChoice | None) -> None:
    options = to_options(parsed(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False))
    assert options.tool_choice == expected and options.parallel_tool_calls is False


EMPTY: dict[str, dict[str, Any]] = {
    "options": {
        "logit_bias": {},
        "stop": [],
        "response_format": {"type": "text"},
        "logprobs": False,
        "top_logprobs": 0,
    },
    "one answer": {"n": 1, "modalities": ["text"], "top_k": -1, "repetition_penalty": 1.0, "functions": []},
    "no tools": {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "function_call": "auto"},
    "nulls": dict.fromkeys(ChatOptions.__dataclass_fields__) | {"functions": None, "n": None, "brand_new": None},
    "labels": {"user": "ann", "store": True, "metadata": {"a": {"b": [1]}}, "prompt_cache_key": "k"},
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_option_without_content_counts_as_not_given(name: str) -> None:
    assert to_options(parsed(**EMPTY[name])) == ChatOptions()


def test_a_caller_may_have_parameters_dropped_that_are_not_supported() -> None:
    body: dict[str, Any] = {"n": 3, "top_k": 40, "colour": "red", "audio": {"voice": "alloy"}}
    for name, value in body.items():
        assert refusal(**{name: value})[0] == name
    request = parsed(drop_params=True, messages=[USER | {"colour": 1}], **body)
    assert request.drop_params and to_options(request) == ChatOptions()
    assert refusal(drop_params="true", colour=1) == ("colour", "unknown_parameter")


def test_the_fields_that_clients_add_to_messages_do_no_harm() -> None:
    extras: dict[str, Any] = {
        "annotations": [],
        "audio": None,
        "extra_content": {"google": {}},
        "function_call": None,
        "id": "msg_1",
        "parsed": {"a": 1},
        "provider_specific_fields": None,
        "reasoning": None,
        "reasoning_content": "I think",
        "refusal": None,
        "tool_calls": None,
    }
    part = {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}, "image_url": None}
    call = CALL | {"index": 0, "function": CALL["function"] | {"parsed_arguments": {}}}  # type: ignore[operator]
    plain = to_messages(parsed(messages=[USER, USER, CALLS, RESULT]).messages, 1)
    assert plain == to_messages(
        parsed(
            messages=[
                USER | extras,
                {"role": "user", "content": [part]},
                CALLS | {"tool_calls": [call], "reasoning_content": "x"},
                RESULT | {"name": "weather"},
            ]
        ).messages,
        1,
    )


def test_a_call_and_its_result_are_in_the_history_with_the_vendors_signature() -> None:
    signed = CALL | {"id": "call_1__sig_c2lnbg"}
    messages = [USER, CALLS | {"tool_calls": [signed]}, RESULT | {"tool_call_id": signed["id"]}]
    _, called, result = to_messages(parsed(messages=messages).messages, 1)
    call = ToolCall(call_id="call_1", name="weather", arguments='{"city": "Rome"}', signature="sign")
    assert called == Message(role="assistant", tool_calls=(call,))
    assert result == Message(role="tool", content=("20 C",), tool_call_id="call_1")


def test_an_earlier_refusal_is_an_assistants_text() -> None:
    parts = [{"type": "refusal", "refusal": "No."}]
    for message in ({"content": None, "refusal": "No."}, {"content": parts}):
        request = parsed(messages=[USER, {"role": "assistant"} | message, USER])
        assert to_messages(request.messages, 1)[1] == Message(role="assistant", content=("No.",))


def calls(*ids: str) -> dict[str, Any]:
    return CALLS | {"tool_calls": [CALL | {"id": one} for one in ids]}


def with_arguments(text: str) -> dict[str, Any]:
    return CALLS | {"tool_calls": [CALL | {"function": {"name": "weather", "arguments": text}}]}


HISTORIES: dict[str, tuple[list[Any], str]] = {
    "a result of no call": ([USER, RESULT], "1.tool_call_id"),
    "a result of an unknown call": ([calls("a"), RESULT], "1.tool_call_id"),
    "a result without its call": ([CALLS, {"role": "tool", "content": "x"}], "1.tool_call_id"),
    "two results of one call": ([CALLS, RESULT, RESULT], "2.tool_call_id"),
    "a result too late": ([CALLS, RESULT, USER, RESULT], "3.tool_call_id"),
    "a call without its result": ([USER, CALLS], "1.tool_calls"),
    "a call whose result is not next": ([CALLS, USER, RESULT], "0.tool_calls"),
    "one result of two": ([calls("call_1", "call_2"), RESULT, USER], "0.tool_calls"),
    "two calls of one id": ([calls("a", "a")], "0.tool_calls.1.id"),
    "arguments that are no JSON": ([with_arguments("{")], "0.tool_calls.0.function.arguments"),
    "arguments that are a list": ([with_arguments("[]")], "0.tool_calls.0.function.arguments"),
    "arguments of too many values": ([with_arguments("[" + "[]," * 16_000)], "0.tool_calls.0.function.arguments"),
    "a user's call": ([USER | {"tool_calls": [CALL]}], "0.tool_calls"),
    "a result without content": ([CALLS, RESULT | {"content": None}], "1.content"),
    "an answer of nothing": ([USER, {"role": "assistant"}], "1.content"),
    "a refusal of a tool": (
        [CALLS, RESULT | {"content": [{"type": "refusal", "refusal": "x"}]}],
        "1.content.0.type",
    ),
    "a refusal by a user": ([{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}], "0.content.0.type"),
    "an unknown kind of call": ([CALLS | {"tool_calls": [CALL | {"type": "custom"}]}], "0.tool_calls.0.type"),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_that_no_vendor_takes_is_refused_with_its_path(name: str) -> None:
    messages, path = HISTORIES[name]
    assert refusal(messages=messages)[0] == f"messages.{path}"


def test_a_call_without_arguments_has_none() -> None:
    request = parsed(messages=[with_arguments(""), RESULT])
    assert to_messages(request.messages, 1)[0].tool_calls[0].arguments == "{}"


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather"} | fields}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "two tools of one name": ({"tools": [TOOL, TOOL]}, "tools.1.function.name"),
    "129 tools": ({"tools": [function(name=f"f{i}") for i in range(129)]}, "tools"),
    "a tool without a name": ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
    "a name with a blank": ({"tools": [function(name="a b")]}, "tools.0.function.name"),
    "a tool of another type": ({"tools": [{"type": "custom", "custom": {}}]}, "tools.0.type"),
    "parameters in a list": ({"tools": [function(parameters=[])]}, "tools.0.function.parameters"),
    "parameters of a text": ({"tools": [function(parameters={"type": "string"})]}, "tools.0.function.parameters.type"),
    "an unknown choice": ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
    "a choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "a choice of an unknown tool": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
        "tool_choice.function.name",
    ),
    "a schema left out": ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    "a schema without a name": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
    ),
    "top_logprobs alone": ({"top_logprobs": 5}, "top_logprobs"),
    "too many stops": ({"stop": ["x"] * 17}, "stop"),
    "an empty stop": ({"stop": ""}, "stop"),
    "a bias of a word": ({"logit_bias": {"word": 1}}, "logit_bias.word.[key]"),
    "an effort in German": ({"reasoning_effort": "hoch"}, "reasoning_effort"),
    "a true seed": ({"seed": True}, "seed"),
    "too high a top_p": ({"top_p": 1.1}, "top_p"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_field_is_refused_with_its_path(name: str) -> None:
    body, param = WRONG[name]
    assert refusal(**body) == (param, "invalid_value")
