"""Check the messages of a chat against each other: contents by role, tool calls and their results."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.api.call_ids import split_call_id
from deployments.api.chat.schemas import ChatMessage
from deployments.api.chat.tool_schemas import CallInHistory
from deployments.api.json_text import parse_json
from routing.errors import BadInput

_PART_TYPES = {"user": ("text", "image_url"), "tool": ("text", "image_url"), "assistant": ("text", "refusal")}


def check_history(messages: Sequence[ChatMessage]) -> None:
    """Raise BadInput for the first message that no vendor takes."""
    waiting = _WaitingCalls()
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        _check_content(message, where)
        if message.role == "tool":
            waiting.answer(message, where)
            continue
        waiting.check_answered()
        if message.tool_calls:
            waiting.open(message.tool_calls, f"{where}.tool_calls")
    waiting.check_answered()


class _WaitingCalls:
    """The calls of the last assistant's message whose results are still to come."""

    def __init__(self) -> None:
        self._ids: dict[str, bool] = {}
        self._where = ""

    def open(self, calls: Sequence[CallInHistory], where: str) -> None:
        self._ids, self._where = {}, where
        for index, call in enumerate(calls):
            _check_arguments(call, f"{where}.{index}.function.arguments")
            call_id, _ = split_call_id(call.id)
            if call_id in self._ids:
                raise _bad(f"{where}.{index}.id", "is the id of another call of this message")
            self._ids[call_id] = False

    def answer(self, message: ChatMessage, where: str) -> None:
        where = f"{where}.tool_call_id"
        if message.tool_call_id is None:
            raise _bad(where, "a tool's message must name the call to which it is the result")
        call_id, _ = split_call_id(message.tool_call_id)
        if call_id not in self._ids:
            raise _bad(where, "names no call of the assistant's message before it")
        if self._ids[call_id]:
            raise _bad(where, "names a call that has a result already")
        self._ids[call_id] = True

    def check_answered(self) -> None:
        missing = sum(not answered for answered in self._ids.values())
        if missing:
            raise _bad(self._where, f"{missing} of these calls have no result in the messages that follow")
        self._ids = {}


def _check_content(message: ChatMessage, where: str) -> None:
    if message.tool_calls and message.role != "assistant":
        raise _bad(f"{where}.tool_calls", "only an assistant's message calls tools")
    if message.content is None and not (message.role == "assistant" and (message.tool_calls or message.refusal)):
        raise _bad(f"{where}.content", "must be a text or a list of parts")
    if isinstance(message.content, list):
        accepted = _PART_TYPES.get(message.role, ("text",))
        for index, part in enumerate(message.content):
            if part.type not in accepted:
                raise _bad(
                    f"{where}.content.{index}.type",
                    f"a message of this role has parts of {' and '.join(accepted)} only",
                )


def _check_arguments(call: CallInHistory, where: str) -> None:
    # A function without parameters is called with an empty text by some models.
    if call.function.arguments and not isinstance(parse_json(call.function.arguments.encode(), where), dict):
        raise _bad(where, "must be a JSON object")


def _bad(param: str, problem: str) -> BadInput:
    return BadInput(f"{param}: {problem}.", param)
