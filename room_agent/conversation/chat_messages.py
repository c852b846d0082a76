"""Converts the messages and tools of a chat completion to LiveKit's types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from livekit.agents import llm


def to_chat_context(messages: Sequence[dict[str, Any]]) -> llm.ChatContext:
    """Convert messages of a chat completion. A reply with calls must be followed by the results of all of them."""
    context = llm.ChatContext.empty()
    for message in messages:
        if message["role"] == "tool":
            context.insert(
                llm.FunctionCallOutput(call_id=message["tool_call_id"], output=message["content"], is_error=False)
            )
            continue
        content = message["content"]
        parts: list[Any] = [content] if isinstance(content, str) else [_part(part) for part in content]
        calls = message.get("tool_calls", ())
        # LiveKit puts a reply's words and its calls together again by their ids.
        group = calls[0]["id"] if calls else None
        if group is None:
            context.add_message(role=message["role"], content=parts)
        elif content:
            context.add_message(role=message["role"], content=parts, id=group)
        for call in calls:
            context.insert(
                llm.FunctionCall(
                    call_id=call["id"],
                    name=call["function"]["name"],
                    arguments=call["function"]["arguments"],
                    extra=call.get("extra") or {},
                    group_id=group,
                )
            )
    return context


def to_function_tool(schema: dict[str, Any]) -> llm.RawFunctionTool[..., Any]:
    """Return a tool for the model. It is never called here: its calls are part of the stream."""

    async def call(raw_arguments: dict[str, object]) -> None:
        raise NotImplementedError

    return llm.function_tool(call, raw_schema=schema)


def _part(part: dict[str, Any]) -> str | llm.ImageContent:
    if part["type"] == "text":
        return str(part["text"])
    return llm.ImageContent(image=part["image_url"]["url"])
