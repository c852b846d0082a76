"""Claude's thinking blocks, carried through a tool conversation in the signature of a tool call.

Anthropic's page on thinking, read 2026-11-30: within a turn of tool calls the blocks must come back unchanged. Its
pages on Claude 5.5, read 2026-11-30: a block is bound to the model and to the conversation before it. Another model
drops it, and a changed conversation is answered 400, so a block is sent back only where both are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from routing.chat import Image, Message, Tool

Json = dict[str, Any]
TYPES: Final = ("thinking", "redacted_thinking")
_DIGEST_BYTES = 12


def sign(model_name: str, conversation: str, blocks: Sequence[Json]) -> str | None:
    """Return the signature of a tool call after `blocks`, or None without blocks.

    `conversation` is the digest of the request that the model answered.
    """
    if not blocks:
        return None
    return json.dumps([model_name, conversation, *blocks], ensure_ascii=False, separators=(",", ":"))


def signed_blocks(signature: str | None, model_name: str, conversation: str) -> list[Json]:
    """Return the blocks of a signature, or none if it is another vendor's, model's or conversation's."""
    try:
        signed = json.loads(signature or "null")
    except (ValueError, RecursionError):
        return []
    if not isinstance(signed, list) or signed[:2] != [model_name, conversation]:
        return []
    return [block for block in signed[2:] if isinstance(block, dict) and block.get("type") in TYPES]


class ConversationDigest:
    """The digest of a conversation up to a message: of its texts, images and calls, but not of their signatures."""

    def __init__(self, system: str, tools: Iterable[Tool]) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._add(system)
        for tool in tools:
            self._add([tool.name, tool.description, tool.parameters, tool.strict])

    def add(self, message: Message) -> None:
        calls = [[call.call_id, call.name, call.arguments] for call in message.tool_calls]
        self._add([message.role, message.tool_call_id, calls])
        for part in message.content:
            if isinstance(part, Image):
                self._hash.update(part.data)
            else:
                self._add(part)

    @property
    def value(self) -> str:
        return self._hash.hexdigest()

    def _add(self, value: str | Sequence[Any]) -> None:
        self._hash.update(json.dumps(value, default=_plain).encode())


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
