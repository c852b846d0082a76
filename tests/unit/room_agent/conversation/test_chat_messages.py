"""Messages with calls and results reach the model as OpenAI has them."""

from __future__ import annotations

from typing import Any

from livekit.agents import llm

from room_agent.conversation.chat_messages import to_chat_context, to_function_tool
from room_agent.conversation.tool_calls import RequestedCall
from room_agent.conversation.tool_messages import FAILED, history


def sent(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = to_chat_context(messages).to_provider_format("openai")[0]
    return found


def test_a_reply_with_two_calls_is_one_message_before_their_results() -> None:
    requests = [RequestedCall(call_id=f"c{n}", name="shop_look", arguments='{"order": 5}') for n in range(2)]
    messages = sent([{"role": "user", "content": "Where?"}, *history("Let me see.", requests, {"c0": "here"})])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[1]["content"] == "Let me see."
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["c0", "c1"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "shop_look", "arguments": '{"order": 5}'}
    assert [(message["tool_call_id"], message["content"]) for message in messages[2:]] == [
        ("c0", "here"),
        ("c1", FAILED),
    ]


def test_two_replies_with_calls_stay_apart_and_in_order() -> None:
    first, second = (
        history("", [RequestedCall(call_id=name, name="shop_look", arguments="")], {name: f"result {name}"})
        for name in ("a", "b")
    )
    messages = sent([{"role": "user", "content": "Where?"}, *first, *second])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "tool"]
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["result a", "result b"]


def test_what_a_vendor_wants_back_with_a_call_is_sent_back() -> None:
    extra = {"google": {"thought_signature": "s"}}
    request = RequestedCall(call_id="c", name="shop_look", arguments="{}", extra=extra)
    (_, reply, _) = sent([{"role": "user", "content": "Where?"}, *history("", [request], {"c": "here"})])
    assert reply["tool_calls"][0]["extra_content"] == extra


def test_a_tool_is_offered_with_the_servers_own_schema() -> None:
    schema = {"name": "shop_look", "description": "d", "parameters": {"type": "object", "x-own": [1]}}
    context = llm.ToolContext([to_function_tool(schema)])
    assert context.parse_function_tools("openai") == [{"type": "function", "function": schema}]
