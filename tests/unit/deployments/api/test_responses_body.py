"""A Responses request becomes the chat that means the same, and an error names the request's own field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.api.chat.messages import to_messages, to_options
from deployments.api.json_schema import SchemaCheck
from deployments.api.responses.body import ConvertedResponses, parse_responses, read_responses
from routing.chat import ChatOptions, EncryptedThought, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.errors import BadInput, UnsupportedOption

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "name": "weather", "description": "x", "parameters": CITY, "strict": True}
USER = {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "20 C"}


def parsed(**body: Any) -> ConvertedResponses:
    return parse_responses(json.dumps({"input": "Hello"} | body).encode())


def messages(**body: Any) -> tuple[Message, ...]:
    return to_messages(parsed(**body).chat.messages, 10**7)


def refusal(**body: Any) -> str | None:
    with pytest.raises(BadInput) as refused:
        parsed(**body)
    return refused.value.param


def test_a_text_is_a_users_message_after_the_instructions() -> None:
    assert messages(instructions="Be brief.") == (
        Message(role="system", content=("Be brief.",)),
        Message(role="user", content=("Hello",)),
    )


def test_the_items_of_a_conversation_are_its_messages() -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        USER | {"type": "message"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
        },
        CALL,
        CALL | {"call_id": "call_2__sig_c2lnbg", "arguments": '{"city": "Rome"}'},
        OUTPUT | {"call_id": "call_2__sig_c2lnbg", "output": [{"type": "input_text", "text": "21 C"}]},
        OUTPUT,
        {"role": "user", "content": "Thanks"},
    ]
    calls = (
        ToolCall(call_id="call_1", name="weather", arguments="{}"),
        ToolCall(call_id="call_2", name="weather", arguments='{"city": "Rome"}', signature="sign"),
    )
    assert messages(input=items) == (
        Message(role="system", content=("Be brief.",)),
        Message(role="user", content=("Hello",)),
        Message(role="assistant", content=("I look.",), tool_calls=calls),
        Message(role="tool", content=("21 C",), tool_call_id="call_2"),
        Message(role="tool", content=("20 C",), tool_call_id="call_1"),
        Message(role="user", content=("Thanks",)),
    )


def test_encrypted_reasoning_belongs_to_the_item_after_it_and_other_reasoning_is_dropped() -> None:
    summary = [{"type": "summary_text", "text": "hm"}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gAAA", "status": None}
    kept = (EncryptedThought(encrypted="gAAA", summary=("hm",)),)
    called, result = messages(input=[USER, {"type": "reasoning", "summary": []}, thought, CALL, OUTPUT])[1:]
    assert called.thoughts == kept and called.tool_calls and result.thoughts == ()
    answered = messages(input=[USER, thought, {"role": "assistant", "content": "Hi."}, thought, USER])
    assert [message.thoughts for message in answered] == [(), kept, ()]


def test_calls_that_were_answered_one_by_one_are_two_messages() -> None:
    second = CALL | {"call_id": "call_2"}, OUTPUT | {"call_id": "call_2"}
    roles = [message.role for message in messages(input=[USER, CALL, OUTPUT, *second])]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]


def test_the_settings_are_the_options_of_a_chat() -> None:
    converted = parsed(
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        temperature=0.5,
        top_p=0.9,
        top_logprobs=2,
        service_tier="flex",
        max_output_tokens=50,
        stream=True,
    )
    assert to_options(converted.chat) == ChatOptions(
        tools=(Tool(name="weather", description="x", parameters=CITY, strict=True),),
        tool_choice=ToolChoice(mode="function", name="weather"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(type="json_schema", name="city", schema=CITY, strict=True),
        temperature=0.5,
        top_p=0.9,
        logprobs=True,
        top_logprobs=2,
        reasoning_effort="low",
        verbosity="low",
        service_tier="flex",
    )
    assert converted.chat.output_tokens == 50 and converted.chat.stream


def test_what_clients_send_by_default_does_no_harm() -> None:
    body = {
        "store": True,
        "metadata": {"a": "b"},
        "include": ["reasoning.encrypted_content"],
        "previous_response_id": None,
        "conversation": None,
        "background": False,
        "truncation": "disabled",
        "text": {"format": {"type": "text"}},
        "tools": [],
        "tool_choice": "auto",
        "brand_new": None,
    }
    assert to_options(parsed(**body).chat) == ChatOptions()


def inputs(*items: Any) -> dict[str, Any]:
    return {"input": list(items)}


def image(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_image", "image_url": url}]}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a stored response": ({"previous_response_id": "resp_1"}, "previous_response_id"),
    "a stored response, whatever is dropped": (
        {"previous_response_id": "resp_1", "drop_params": True},
        "previous_response_id",
    ),
    "a conversation": ({"conversation": "conv_1"}, "conversation"),
    "a background": ({"background": True}, "background"),
    "a stored prompt": ({"prompt": {"id": "p"}}, "prompt"),
    "truncation": ({"truncation": "auto"}, "truncation"),
    "an unknown parameter": ({"colour": 1}, "colour"),
    "a vendor's tool": ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
    "a tool without a name": ({"tools": [{"type": "function"}]}, "tools.0.name"),
    "two tools of one name": ({"tools": [TOOL, TOOL]}, "tools.1.name"),
    "parameters of a text": ({"tools": [TOOL | {"parameters": {"type": "string"}}]}, "tools.0.parameters.type"),
    "a choice of no tool": ({"tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
    "a format without its schema's name": (
        {"text": {"format": {"type": "json_schema", "schema": {}}}},
        "text.format.name",
    ),
    "no tokens": ({"max_output_tokens": 0}, "max_output_tokens"),
    "no input": ({"input": []}, "input"),
    "an item reference": (inputs(USER, {"type": "item_reference", "id": "msg_1"}), "input.1"),
    "an unknown item": (inputs({"type": "computer_call"}), "input.0.type"),
    "a message without a role": (inputs({"content": "x"}), "input.0.role"),
    "a message without content": (inputs({"role": "user"}), "input.0.content"),
    "a file": (
        inputs({"role": "user", "content": [{"type": "input_file", "file_data": "x"}]}),
        "input.0.content.0.type",
    ),
    "a text part without its text": (
        inputs({"role": "user", "content": [{"type": "input_text"}]}),
        "input.0.content.0.text",
    ),
    "an output of no call": (inputs(USER, OUTPUT), "input.1.call_id"),
    "an output without content": (
        inputs(CALL, {"type": "function_call_output", "call_id": "call_1"}),
        "input.1.output",
    ),
    "a refusal of a tool": (
        inputs(CALL, OUTPUT | {"output": [{"type": "refusal", "refusal": "x"}]}),
        "input.1.output.0.type",
    ),
    "a call without output": (inputs(USER, CALL, USER), "input.1"),
    "a call without a name": (inputs({"type": "function_call", "call_id": "c", "arguments": "{}"}), "input.0.name"),
    "arguments that are no JSON": (
        inputs(USER, CALL, CALL | {"call_id": "b", "arguments": "{"}, OUTPUT),
        "input.2.arguments",
    ),
    "two calls of one id": (inputs(USER, CALL, CALL, OUTPUT), "input.2.call_id"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_field_is_refused_with_its_own_path(name: str) -> None:
    body, param = BAD[name]
    assert refusal(**body) == param


async def test_a_wrong_schema_is_refused_with_its_own_path() -> None:
    wrong = TOOL | {"parameters": {"type": "object", "properties": {"city": {"type": "strin"}}}}
    with pytest.raises(BadInput, match=r"tools.0.parameters.properties.city.type: ") as refused:
        await read_responses(json.dumps({"input": "x", "tools": [wrong]}).encode(), SchemaCheck())
    assert refused.value.param == "tools.0.parameters.properties.city.type"


@pytest.mark.parametrize(
    ("param", "own"),
    [
        ("messages.1.content.0.image_url.url", "input.0.content.0.image_url"),
        ("messages", "input"),
        ("reasoning_effort", "reasoning.effort"),
        ("response_format", "text.format"),
        ("seed", "seed"),
    ],
)
def test_the_gateways_errors_are_raised_with_the_requests_own_names(param: str, own: str) -> None:
    converted = parsed(instructions="Be brief.", input=[image("data:")])
    with pytest.raises(UnsupportedOption) as refused, converted.own_names():
        raise UnsupportedOption(f"{param}: is refused.", param, model="m")
    assert (refused.value.param, refused.value.message) == (own, f"{own}: is refused.")
    assert refused.value.facts == {"model": "m"}
