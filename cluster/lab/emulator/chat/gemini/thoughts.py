"""Thought signatures: those that the emulator gives its function calls, and the values that skip their validation."""

from __future__ import annotations

import base64
from typing import Final

from cluster.lab.emulator.core.tools import EmulatedToolCall

_ISSUED: Final = b"emulated thought "
_SKIPPING: Final = ("context_engineering_is_the_way_to_go", "skip_thought_signature_validator")
"""Google's page on thought signatures, read 2026-11-30, for calls that came from another model."""
# Clients send these words as they are, which JSON takes for base64, or the base64 of them.
_SKIPPING_BYTES: Final = frozenset(
    form for words in _SKIPPING for form in (words.encode(), base64.urlsafe_b64decode(words))
)


def signature(call: EmulatedToolCall) -> str:
    """Return the signature of a call in base64."""
    return base64.b64encode(_ISSUED + call.number.encode()).decode()


def is_accepted(given: bytes) -> bool:
    return given.startswith(_ISSUED) or given in _SKIPPING_BYTES
