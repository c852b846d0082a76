"""Read the features of the last turn of a chat request."""

from __future__ import annotations

from deployments.api.chat.schemas import ChatRequest
from routing.chat import ChatOptions, Message
from routing.complexity import TurnFeatures
from routing.evidence import needs_stronger
from routing.models import Answer


def turn_features(
    request: ChatRequest, options: ChatOptions, turn: Message, messages: tuple[Message, ...]
) -> TurnFeatures:
    """Return a turn's features; the answer before it failed if it is empty, declines, or the caller marked it so."""
    last = next((message for message in reversed(messages) if message.role == "assistant"), None)
    failed = request.last_answer_failed or (last is not None and _failed(last, options.wants_json))
    return TurnFeatures(text=turn.text, has_image=bool(turn.images), last_answer_failed=failed)


def _failed(message: Message, json: bool) -> bool:
    answer = Answer(text=message.text, model="", finish="stop", usage=None, tool_calls=message.tool_calls)
    return needs_stronger(answer, json=json) is not None
