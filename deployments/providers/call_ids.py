"""Ids of tool calls as a vendor accepts them: a conversation may have begun at another vendor."""

from __future__ import annotations

import hashlib
import re

_ACCEPTED = re.compile(r"[a-zA-Z0-9_-]+")
_DIGEST_BYTES = 16


def accepted_call_id(call_id: str, longest: int) -> str:
    """Return the id itself if it fits, else one made of its hash: the same for a call and for its result.

    Every vendor accepts letters, digits, `_` and `-`. `longest` is at least 37.
    """
    if len(call_id) <= longest and _ACCEPTED.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.blake2b(call_id.encode('utf-8', 'replace'), digest_size=_DIGEST_BYTES).hexdigest()}"
