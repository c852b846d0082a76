"""Check the messages of a request: their roles, their contents, and the results of tool calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cluster.lab.emulator.chat.anthropic.checks import AnthropicRefusal
from cluster.lab.emulator.chat.anthropic.request_schema import (
    Block,
    InputMessage,
    MessagesRequest,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from cluster.lab.emulator.core.model_rules import ModelRules

_OF_THE_USER = ("text", "image", "tool_result")
_OF_THE_ASSISTANT = ("text", "tool_use", "thinking", "redacted_thinking")


def check_contents(request: MessagesRequest, rules: ModelRules) -> None:
    """Raise AnthropicRefusal for messages that Anthropic refuses."""
    messages = request.messages
    if not messages:
        raise AnthropicRefusal("messages: at least one message is required")
    if messages[0].role != "user":
        raise AnthropicRefusal('messages: first message must use the "user" role')
    _check_texts("system", request.system_blocks)
    for index, message in enumerate(messages):
        _check_message(message, index, index == len(messages) - 1)
    _check_end(messages[-1], rules)
    _check_results(messages)
    used = any(isinstance(block, ToolUseBlock | ToolResultBlock) for message in messages for block in message.blocks)
    if used and not request.tools:
        raise AnthropicRefusal("Requests which include `tool_use` or `tool_result` blocks must define tools")


def _check_message(message: InputMessage, index: int, last: bool) -> None:
    blocks = message.blocks
    if (not blocks or message.content == "") and not (last and message.role == "assistant"):
        raise AnthropicRefusal(
            f"messages.{index}: all messages must have non-empty content except for the optional final assistant"
            " message"
        )
    _check_texts("messages", blocks)
    accepted = {"user": _OF_THE_USER, "assistant": _OF_THE_ASSISTANT}.get(message.role, ("text",))
    for place, block in enumerate(blocks):
        if block.type not in accepted:
            raise AnthropicRefusal(
                f"messages.{index}.content.{place}: `{block.type}` blocks can not be in a message of the role"
                f" `{message.role}`"
            )
        if isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
            _check_texts("messages", block.content)


def _check_texts(place: str, blocks: Iterable[Block]) -> None:
    for block in blocks:
        if not isinstance(block, TextBlock):
            continue
        if not block.text:
            raise AnthropicRefusal(f"{place}: text content blocks must be non-empty")
        if not block.text.strip():
            raise AnthropicRefusal(f"{place}: text content blocks must contain non-whitespace text")


def _check_end(last: InputMessage, rules: ModelRules) -> None:
    if last.role != "assistant":
        return
    if "no_prefill" in rules.flags:
        raise AnthropicRefusal(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    texts = [block.text for block in last.blocks if isinstance(block, TextBlock)]
    if texts and texts[-1] != texts[-1].rstrip():
        raise AnthropicRefusal("messages: final assistant content cannot end with trailing whitespace")


def _check_results(messages: Sequence[InputMessage]) -> None:
    """Refuse a result of an unknown call, a call without a result in the next message, and an id used twice."""
    ids: set[str] = set()
    calls: list[str] = []
    for index, message in enumerate(_combined(messages)):
        results = [block.tool_use_id for block in message if isinstance(block, ToolResultBlock)]
        for place, result in enumerate(results):
            if result not in calls:
                raise AnthropicRefusal(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks:"
                    f" {result}. Each `tool_result` block must have a corresponding `tool_use` block in the previous"
                    " message."
                )
        _check_answered(calls, results, message, index)
        calls = [block.id for block in message if isinstance(block, ToolUseBlock)]
        if len(set(calls)) < len(calls) or ids & set(calls):
            raise AnthropicRefusal(f"messages.{index}: `tool_use` ids must be unique")
        ids |= set(calls)
    _check_answered(calls, [], [], len(messages))


def _check_answered(calls: Sequence[str], results: Sequence[str], message: Sequence[Block], index: int) -> None:
    missing = [call for call in calls if call not in results]
    if missing:
        raise AnthropicRefusal(
            f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after:"
            f" {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next"
            " message."
        )
    if len(set(results)) < len(results):
        raise AnthropicRefusal(f"messages.{index}: each tool_use must have a single result")
    before = message[: len(results)]
    if not all(isinstance(block, ToolResultBlock) for block in before):
        raise AnthropicRefusal(f"messages.{index}: `tool_result` blocks must come before all other content")


def _combined(messages: Sequence[InputMessage]) -> list[list[Block]]:
    """Return the blocks of each turn: messages of one role that follow one another are one turn."""
    turns: list[tuple[str, list[Block]]] = []
    for message in messages:
        if message.role == "system":
            continue
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(message.blocks)
        else:
            turns.append((message.role, message.blocks))
    return [blocks for _, blocks in turns]
