"""Counts the characters sent through one TTS socket, and those among them that the vendor refused to speak.

ElevenLabs does not charge an account with a used-up quota for the text it refuses, and sends an error message.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

UNCHARGED: Final = frozenset({"quota_exceeded", "max_active_conversations"})
"""The errors after which ElevenLabs closes the socket; text without audio by then is neither spoken nor charged."""


class TtsCharacterCount:
    """The billed characters of one text so far. Space around the text is not billed. The text itself is not kept."""

    def __init__(self) -> None:
        self.characters = self._trailing = 0

    def add(self, text: str) -> int:
        """Add a piece of the text; return the characters that it adds to the bill."""
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
class _TtsContext:
    """One text: ElevenLabs speaks several at a time through one socket, each under a context id."""

    asker: str
    sent: TtsCharacterCount = field(default_factory=TtsCharacterCount)
    spoken: TtsCharacterCount = field(default_factory=TtsCharacterCount)
    unsent: int = 0

    @property
    def unspoken(self) -> int:
        return max(0, self.sent.characters - self.spoken.characters - self.unsent)


class TtsCharacterCounts:
    """The texts of one socket, each until the vendor has sent the last of its audio."""

    def __init__(self) -> None:
        self._contexts: dict[str, _TtsContext] = {}
        self._refused = False

    def send(self, message: dict[str, Any], asker: str = "") -> int:
        """Count a message before it is sent; return the characters that it adds to the bill.

        A text is spoken for the `asker` of its first message.
        """
        if self._refused or message.get("close_context"):
            return 0
        context = self._contexts.setdefault(str(message.get("context_id")), _TtsContext(asker))
        return context.sent.add(str(message.get("text") or ""))

    def asker(self, message: dict[str, Any]) -> str:
        """Return the participant for whom the text of a message is spoken; empty where that is nobody."""
        context = self._contexts.get(str(message.get("context_id")))
        return "" if context is None else context.asker

    def unsent(self, message: dict[str, Any], amount: int) -> None:
        """Note that `amount` characters were not sent after all. The caller has taken them off the bill."""
        context = self._contexts.get(str(message.get("context_id")))
        if context is not None:
            context.unsent += amount

    def receive(self, data: str) -> Counter[str]:
        """Process a message of the vendor; return the characters that it refused to speak, by their askers."""
        message, refused = _parse(data), Counter[str]()
        if message.get("error") in UNCHARGED:
            self._refused = True
            contexts, self._contexts = self._contexts, {}
            for context in contexts.values():
                refused[context.asker] += context.unspoken
        else:
            self._add_audio(str(message.get("contextId") or message.get("context_id")), message)
        return refused

    def _add_audio(self, name: str, message: dict[str, Any]) -> None:
        context = self._contexts.get(name)
        if context is None:
            return
        if message.get("isFinal"):
            del self._contexts[name]
        elif message.get("audio"):
            match message.get("alignment"):
                case {"chars": [*characters]}:
                    context.spoken.add("".join(map(str, characters)))
                case _:
                    # Audio without an alignment may cover all the text that was sent: that stays on the bill.
                    context.spoken.characters = context.sent.characters


def _parse(data: str) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
