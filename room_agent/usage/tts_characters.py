"""Counts the characters one voice's socket was sent, and those of them that its vendor refused to say.

An account whose quota is used up is charged nothing for the text that came too late, and told so in a message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

UNCHARGED: Final = frozenset({"quota_exceeded", "max_active_conversations"})
"""What ElevenLabs refuses with, and then closes the socket: what it has not said by then it does not say."""


class TtsCharacterCount:
    """How many characters of one text are billed so far: the space around it is not. Keeps none of the text."""

    def __init__(self) -> None:
        self.characters = self._trailing = 0

    def add(self, text: str) -> int:
        """Count `text`; return the characters to be told because of it."""
        before = self.characters
        if not self.characters:
            text = text.lstrip()
        bare = text.rstrip()
        if bare:
            self.characters += self._trailing + len(bare)
            self._trailing = len(text) - len(bare)
        elif self.characters:
            self._trailing += len(text)
        return self.characters - before


@dataclass(slots=True)
class _Context:
    sent: TtsCharacterCount = field(default_factory=TtsCharacterCount)
    said: TtsCharacterCount = field(default_factory=TtsCharacterCount)

    @property
    def unsaid(self) -> int:
        return max(0, self.sent.characters - self.said.characters)


class TtsCharacterCounts:
    """The texts of one socket, each until the vendor has said the last of it."""

    def __init__(self) -> None:
        self._contexts: dict[str, _Context] = {}
        self._unsent = 0
        self._refused = False

    def send(self, message: dict[str, Any]) -> int:
        """Take in what is to be sent; return the characters to be told because of it."""
        if self._refused or message.get("close_context"):
            return 0
        context = self._contexts.setdefault(str(message.get("context_id")), _Context())
        return context.sent.add(str(message.get("text") or ""))

    def unsent(self, amount: int) -> None:
        """Take in that so many characters were not sent after all, and are taken back already."""
        self._unsent += amount

    def receive(self, data: str) -> int:
        """Take in what the vendor sent; return the characters that it refused because of it."""
        message = _read(data)
        if message.get("error") in UNCHARGED:
            self._refused = True
            contexts, self._contexts = self._contexts, {}
            return max(0, sum(context.unsaid for context in contexts.values()) - self._unsent)
        self._say(str(message.get("contextId") or message.get("context_id")), message)
        return 0

    def _say(self, name: str, message: dict[str, Any]) -> None:
        context = self._contexts.get(name)
        if context is None:
            return
        if message.get("isFinal"):
            del self._contexts[name]
        elif message.get("audio"):
            match message.get("alignment"):
                case {"chars": [*characters]}:
                    context.said.add("".join(map(str, characters)))
                case _:
                    # Sound that does not say whose it is may be of all that was sent: that stays on the bill.
                    context.said.characters = context.sent.characters


def _read(data: str) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
