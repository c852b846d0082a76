"""Gemini's thought signatures, carried through a tool conversation in the signature of a tool call.

Google's page on thought signatures, read 2026-11-30: Gemini 3 answers 400 where the first call of a step lacks the
signature with which it came. A conversation that began at another model has none, and gets a value that the page names.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

SKIPS_VALIDATION: Final = b"skip_thought_signature_validator"
_MARK: Final = "gemini"


def sign(model_name: str, thought_signature: bytes | None) -> str | None:
    """Return the signature of a tool call, which names the model: only that model accepts it back."""
    if not thought_signature:
        return None
    return f"{_MARK}:{model_name}:{base64.b64encode(thought_signature).decode()}"


def thought_signature_of(signature: str | None, model_name: str) -> bytes | None:
    """Return Gemini's own signature, or None if it is another vendor's or another model's."""
    head, _, encoded = (signature or "").rpartition(":")
    if head != f"{_MARK}:{model_name}":
        return None
    try:
        return base64.b64decode(encoded, validate=True) or None
    except (binascii.Error, ValueError):
        return None
