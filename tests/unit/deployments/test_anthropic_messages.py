"""Requests in Anthropic's form: roles, contents, tools, thinking, formats and cache breakpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deployments.providers.anthropic.cache_control import BREAKPOINT, LONG_CONVERSATION
from deployments.providers.anthropic.messages import INVALID_JSON, OPENING, call_input, message_body
from deployments.providers.anthropic.schemas import accepted_schema
from deployments.providers.anthropic.thinking import ConversationDigest, sign, signed_blocks
from routing.capabilities import Capabilities, Thinking
from routing.catalogue import Model
from routing.chat import ChatOptions, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from routing.errors import ProviderRefused
from routing.models import ModelRequest, Tier

CACHING = Capabilities(cache_min_tokens=512)
MODEL = Model(name="m", vendor="v", services=("llm",), tier=Tier.SIMPLE, source="a test", max_output_tokens=5_000)
HELLO = Message(role="user", content=("hello",))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool(name="weather", description="Return the weather.", parameters=SCHEMA)
CALL = ToolCall(call_id="c1", name="weather", arguments='{"city": "Bonn"}')
ASKS = Message(role="assistant", tool_calls=(CALL,))
RESULT = Message(role="tool", content=("rain",), tool_call_id="c1")
THOUGHT = {"type": "thinking", "thinking": "", "signature": "s"}
TOOLS = ChatOptions(tools=(WEATHER,))


def body(*messages: Message, model: Model = MODEL, **more: Any) -> dict[str, Any]:
    return message_body(model, ModelRequest(model="m", messages=messages or (HELLO,), **more))


def said(role: Any, *content: str | Image) -> Message:
    return Message(role=role, content=content)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def thinking_model(**rules: Any) -> Model:
    levels = {"efforts": ("none", "low"), "default": "low", "tokens": {"none": 0, "low": 2_000}, "source": "a test"}
    return MODEL.model_copy(update={"capabilities": Capabilities(thinking=Thinking(**levels | rules))})


def test_a_bare_request_sends_nothing_that_was_not_given() -> None:
    assert body(max_output_tokens=9) == {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [text("hello")]}],
    }


def test_system_texts_stand_apart_and_messages_of_one_role_are_one() -> None:
    sent = body(said("system", "A."), said("user", "one", " ", "two"), said("system", "B."), said("user", "three"))
    assert sent["system"] == "A.\n\nB."
    assert sent["messages"] == [{"role": "user", "content": [text("one"), text("two"), text("three")]}]


def test_the_users_message_comes_first_and_empty_ones_are_left_out() -> None:
    sent = body(said("assistant", "Hi."), said("user", "x"), said("assistant", ""), said("user", "y"))
    assert [(m["role"], [b["text"] for b in m["content"]]) for m in sent["messages"]] == [
        ("user", [OPENING]),
        ("assistant", ["Hi."]),
        ("user", ["x", "y"]),
    ]


def test_a_chat_of_system_messages_alone_is_the_users() -> None:
    sent = body(said("system", "Say hello."))
    assert sent["messages"] == [{"role": "user", "content": [text("Say hello.")]}] and "system" not in sent
    assert body(said("system", " ")) == {"model": "m", "max_tokens": 300, "messages": []}


def test_texts_and_images_keep_their_order() -> None:
    (message,) = body(said("user", "one", Image(data=b"a", media_type="image/png"), "two"))["messages"]
    assert [block["type"] for block in message["content"]] == ["text", "image", "text"]
    assert message["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": "YQ=="}


def test_calls_and_results_are_blocks_with_matching_ids_and_results_come_first() -> None:
    foreign = replace(CALL, call_id="call.2|" + "x" * 80, arguments="")
    turn = Message(role="assistant", content=("Wait.",), tool_calls=(CALL, foreign))
    late = Message(role="tool", content=("no", Image(data=b"a")), tool_call_id=foreign.call_id)
    _, asked, answered = body(HELLO, turn, RESULT, said("user", "and?"), late, options=TOOLS)["messages"]
    said_first, first, second = asked["content"]
    assert said_first == text("Wait.") and first["input"] == {"city": "Bonn"} and second["input"] == {}
    assert [block["type"] for block in answered["content"]] == ["tool_result", "tool_result", "text"]
    assert answered["content"][0] == {"type": "tool_result", "tool_use_id": "c1", "content": "rain"}
    assert answered["content"][1]["tool_use_id"] == second["id"] and len(second["id"]) <= 64
    assert [block["type"] for block in answered["content"][1]["content"]] == ["text", "image"]


def test_an_empty_result_has_no_content() -> None:
    sent = body(HELLO, ASKS, replace(RESULT, content=("",)), options=TOOLS)
    assert sent["messages"][-1]["content"] == [{"type": "tool_result", "tool_use_id": "c1"}]


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", '{"a": NaN}', "[" * 100_000])
def test_arguments_that_are_no_object_are_wrapped_and_never_lost(arguments: str) -> None:
    assert call_input(arguments) == {INVALID_JSON: arguments}


def test_tools_have_their_schemas_and_a_strict_one_the_accepted_subset() -> None:
    strict = Tool(name="g", parameters={"properties": {"n": {"type": "integer", "minimum": 1}}}, strict=True)
    sent = body(options=ChatOptions(tools=(WEATHER, Tool(name="f", strict=False), strict)))["tools"]
    assert sent[0] == {"name": "weather", "description": "Return the weather.", "input_schema": SCHEMA}
    assert sent[1] == {"name": "f", "input_schema": {"type": "object"}}
    assert sent[2]["strict"] is True and sent[2]["input_schema"]["additionalProperties"] is False
    assert "minimum" not in sent[2]["input_schema"]["properties"]["n"]
    plain = MODEL.model_copy(update={"capabilities": Capabilities(options=frozenset({"tools"}))})
    assert "strict" not in body(model=plain, options=ChatOptions(tools=(strict,)))["tools"][0]


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
        (ToolChoice(mode="required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="function", name="f"), True, {"type": "tool", "name": "f"}),
    ],
)
def test_the_choice_of_tools_has_the_vendors_names(choice: ToolChoice | None, parallel: Any, sent: Any) -> None:
    options = replace(TOOLS, tool_choice=choice, parallel_tool_calls=parallel)
    assert body(options=options).get("tool_choice") == sent


def test_calls_without_tools_get_definitions_that_are_never_called() -> None:
    sent = body(HELLO, ASKS, RESULT)
    assert sent["tools"] == [{"name": "weather", "input_schema": {"type": "object"}}]
    assert sent["tool_choice"] == {"type": "none"} and "tools" not in body()


@pytest.mark.parametrize("off", ["disabled", "between_tools"])
def test_thinking_is_switched_off_as_the_table_says(off: Any) -> None:
    sent = body(model=thinking_model(off=off), effort="none")
    assert sent["thinking"] == {"type": off} and "output_config" not in sent


def test_an_effort_is_sent_with_room_for_thinking_up_to_the_models_limit() -> None:
    sent = body(model=thinking_model(), effort="low", thinking_tokens=2_000, max_output_tokens=100)
    assert sent["output_config"] == {"effort": "low"} and "thinking" not in sent and sent["max_tokens"] == 2_100
    assert body(model=thinking_model(), effort="low", thinking_tokens=6_000)["max_tokens"] == 5_000


def test_a_model_that_counts_thinking_in_tokens_gets_a_budget_below_its_limit() -> None:
    sent = body(model=thinking_model(unit="tokens"), effort="low", thinking_tokens=9, max_output_tokens=100)
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 1_024} and sent["max_tokens"] == 1_124
    assert "output_config" not in sent


def test_a_schema_is_sent_in_the_subset_that_the_vendor_accepts() -> None:
    requested = ResponseFormat(type="json_schema", name="n", description="A city.", schema=SCHEMA, strict=True)
    sent = body(options=ChatOptions(response_format=requested), effort=None)["output_config"]["format"]
    assert sent == {
        "type": "json_schema",
        "schema": SCHEMA | {"additionalProperties": False, "description": "A city."},
    }
    assert "output_config" not in body(options=ChatOptions(response_format=ResponseFormat(type="text")))
    with pytest.raises(ProviderRefused) as refused:
        body(options=ChatOptions(response_format=ResponseFormat(type="json_object")))
    assert refused.value.param == "response_format"


def test_rules_that_the_vendor_lacks_become_a_description() -> None:
    schema = {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "$defs": {"d": {"oneOf": [{"type": ["string", "null"], "format": "date", "description": "A day."}]}},
        "properties": {"a": {"type": "array", "items": {"type": "number", "maximum": 2}, "minItems": 3}},
    }
    assert accepted_schema(schema) == {
        "type": "object",
        "additionalProperties": False,
        "description": '{"additionalProperties": {"type": "string"}}',
        "$defs": {"d": {"anyOf": [{"type": ["string", "null"], "format": "date", "description": "A day."}]}},
        "properties": {
            "a": {
                "type": "array",
                "items": {"type": "number", "description": '{"maximum": 2}'},
                "description": '{"minItems": 3}',
            }
        },
    }


def test_stops_and_tiers_have_the_vendors_names_and_sampling_is_not_sent() -> None:
    sent = body(options=ChatOptions(stop=("a", "b"), service_tier="default", temperature=0.1, top_p=0.1, seed=7))
    assert sent["stop_sequences"] == ["a", "b"] and sent["service_tier"] == "standard_only"
    assert not {"temperature", "top_p", "seed", "stop"} & set(sent)
    assert "service_tier" not in body(options=ChatOptions(service_tier="flex"))


def signed(conversation: tuple[Message, ...], model: str = "m", tools: tuple[Tool, ...] = (WEATHER,)) -> Message:
    digest = ConversationDigest("", tools)
    for message in conversation:
        digest.add(message)
    return replace(ASKS, tool_calls=(replace(CALL, signature=sign(model, digest.value, [THOUGHT])),))


def test_thinking_comes_back_before_the_text_and_its_call() -> None:
    turn = replace(signed((HELLO,)), content=("Wait.",))
    content = body(HELLO, turn, RESULT, options=TOOLS)["messages"][1]["content"]
    assert [block["type"] for block in content] == ["thinking", "text", "tool_use"] and content[0] == THOUGHT


@pytest.mark.parametrize(
    ("turn", "options"),
    [
        (signed((HELLO,), model="another"), TOOLS),
        (signed((said("user", "changed"),)), TOOLS),
        (signed((HELLO,)), ChatOptions(tools=(Tool(name="weather"),))),
        (replace(ASKS, tool_calls=(replace(CALL, signature="another vendor's"),)), TOOLS),
        (replace(ASKS, tool_calls=(replace(CALL, signature='["m", "x", 7]'),)), TOOLS),
    ],
    ids=["another model", "another conversation", "other tools", "another vendor", "made up"],
)
def test_thinking_of_anything_else_is_left_out(turn: Message, options: ChatOptions) -> None:
    content = body(HELLO, turn, RESULT, options=options)["messages"][1]["content"]
    assert [block["type"] for block in content] == ["tool_use"]


def test_a_signature_holds_blocks_of_thinking_alone() -> None:
    blocks = [THOUGHT, {"type": "redacted_thinking", "data": "d"}]
    assert signed_blocks(sign("m", "c", blocks), "m", "c") == blocks and sign("m", "c", []) is None
    assert signed_blocks(sign("m", "c", [text("injected")]), "m", "c") == []
    assert signed_blocks("[" * 100_000, "m", "c") == signed_blocks(None, "m", "c") == []


def cached(*messages: Message, options: ChatOptions | None = None) -> dict[str, Any]:
    model = MODEL.model_copy(update={"capabilities": CACHING})
    return body(*messages, model=model, options=options or ChatOptions())


def breakpoints(sent: dict[str, Any]) -> list[str]:
    places = [("tools", sent.get("tools", [])), ("system", sent.get("system", []))]
    places += [(f"messages.{index}", message["content"]) for index, message in enumerate(sent["messages"])]
    return [
        place
        for place, blocks in places
        if not isinstance(blocks, str)
        for block in blocks
        if block.get("cache_control") == BREAKPOINT
    ]


LONG = "word " * 500


def test_a_long_stable_prefix_ends_with_a_breakpoint_and_a_short_one_does_not() -> None:
    big = ChatOptions(tools=(Tool(name="f", description=LONG), WEATHER))
    assert breakpoints(cached(said("system", "Be brief."), HELLO)) == []
    assert breakpoints(cached(said("system", LONG), HELLO)) == ["system"]
    assert breakpoints(cached(said("system", LONG), HELLO, options=big)) == ["system"]
    only_tools = cached(HELLO, options=big)
    assert breakpoints(only_tools) == ["tools"] and "cache_control" not in only_tools["tools"][0]
    assert breakpoints(body(said("system", LONG), HELLO)) == []


def test_a_long_conversation_has_a_breakpoint_before_its_last_message() -> None:
    turns = [said(role, LONG) for role in ("user", "assistant") * 2]
    assert len(turns) == LONG_CONVERSATION - 1
    assert breakpoints(cached(*turns, HELLO)) == ["messages.3"] and breakpoints(cached(*turns[2:], HELLO)) == []
    short = [said(role, "x") for role in ("user", "assistant") * 2]
    assert breakpoints(cached(*short, HELLO)) == []
    assert breakpoints(cached(said("system", LONG), *turns, HELLO)) == ["system", "messages.3"]
