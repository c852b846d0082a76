"""Signatures of thinking blocks: bound to their text, their model and the conversation before them.

Anthropic's pages on Claude 5.5, read 2026-11-30: a block of another model is dropped, one that was changed or whose
conversation was changed is a 400.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from cluster.lab.emulator.chat.anthropic.checks import AnthropicRefusal
from cluster.lab.emulator.chat.anthropic.request_schema import (
    InputMessage,
    MessagesRequest,
    RedactedThinkingBlock,
    ThinkingBlock,
)

_SECRET: Final = b"emulated"


def signature_of(model: str, conversation: str, text: str) -> str:
    """Return the signature of a block of thinking with this text."""
    mac = _digest(_SECRET, model, conversation, text)
    return base64.b64encode(json.dumps([model, conversation, mac]).encode()).decode()


def conversation_of(request: MessagesRequest, messages: Sequence[InputMessage]) -> str:
    """Return the digest of tools, system and `messages`, without their thinking and their cache control."""
    tools = [tool.model_dump(exclude={"cache_control"}) for tool in request.tools]
    system = [block.text for block in request.system_blocks]
    turns: list[tuple[str, list[Any]]] = []
    for message in messages:
        blocks = [
            block.model_dump(exclude={"cache_control"})
            for block in message.blocks
            if not isinstance(block, ThinkingBlock | RedactedThinkingBlock)
        ]
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message.role, blocks))
    return _digest(_SECRET, json.dumps([tools, system, turns], sort_keys=True))


def check_signatures(request: MessagesRequest) -> None:
    """Raise AnthropicRefusal for a block that was changed or whose conversation was changed."""
    for index, message in enumerate(request.messages):
        blocks = [(place, block) for place, block in enumerate(message.blocks) if isinstance(block, ThinkingBlock)]
        for place, block in blocks:
            _check(request, index, f"messages.{index}.content.{place}", block)


def _check(request: MessagesRequest, index: int, path: str, block: ThinkingBlock) -> None:
    try:
        model, conversation, _ = json.loads(base64.b64decode(block.signature, validate=True))
    except (ValueError, binascii.Error, TypeError):
        raise AnthropicRefusal(f"{path}: Invalid `signature` in `thinking` block") from None
    if block.signature != signature_of(str(model), str(conversation), block.thinking):
        raise AnthropicRefusal(f"{path}: Invalid `signature` in `thinking` block")
    if model == request.model and conversation != conversation_of(request, request.messages[:index]):
        raise AnthropicRefusal(f"{path}: the conversation before this `thinking` block was changed")


def _digest(secret: bytes, *texts: str) -> str:
    digest = hashlib.blake2b(key=secret, digest_size=12)
    for text in texts:
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()
