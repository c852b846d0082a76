"""Carry a vendor's thought signature inside the id of a tool call, so that any client returns it."""

from __future__ import annotations

import base64
import binascii

_MARK = "__sig_"


def join_call_id(call_id: str, signature: str | None) -> str:
    """Return the id to send to a client: `<id>__sig_<base64url of the signature>`, or the id alone."""
    if signature is None:
        return call_id
    return call_id + _MARK + base64.urlsafe_b64encode(signature.encode()).decode().rstrip("=")


def split_call_id(joined: str) -> tuple[str, str | None]:
    """Return the vendor's id and its signature; None where the id carries none that can be read."""
    call_id, mark, encoded = joined.rpartition(_MARK)
    if not mark or not call_id:
        return joined, None
    try:
        # `altchars` and `validate`: the urlsafe function of the library skips foreign characters.
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        return call_id, data.decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return joined, None
