"""Adds to a turn the notes on its one question: whether it may want silence, and the language it was spoken in."""

from __future__ import annotations

import re
from typing import Any

from room_agent.context.prompt import Turn
from room_agent.conversation.question_queue import Question
from room_agent.intent.silence import ALONE_INSTRUCTION, INSTRUCTION

_CODE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")


def turn_messages(turn: Turn, question: Question) -> list[dict[str, Any]]:
    """Return the messages of a chat completion, the notes as `system` messages behind the rules."""
    messages = turn.messages()
    rules = sum(message["role"] == "system" for message in messages)
    notes = [{"role": "system", "content": note} for note in _notes(question)]
    return [*messages[:rules], *notes, *messages[rules:]]


def _notes(question: Question) -> list[str]:
    spoken = _CODE.fullmatch(question.language) is not None
    hint = f"Speech recognition took the question for the language `{question.language}`. Answer in it unless it erred."
    return [hint] * spoken + [INSTRUCTION if question.simple else ALONE_INSTRUCTION] * question.may_be_silent
