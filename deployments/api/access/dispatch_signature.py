"""Sign the metadata of an agent's job, and verify it when the agent opens its room.

The metadata is a JSON object; its field `signature` is a JWT for the room's name and the other fields, signed with
HS256 by one of the dispatch secrets. Any backend can make it with a JWT library of its language.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from routing.errors import ExpiredToken, Forbidden, Unauthorized
from routing.rooms import RoomName, metadata_object

AUDIENCE = "rayroom-dispatch"
ALGORITHM = "HS256"
FIELD = "signature"
_PARAM = f"metadata.{FIELD}"
LONGEST_MEETING_S = 604_800.0
"""The lifetime of our own dispatches' signatures: a job may open its room again, up to the longest token life."""


def signed_metadata(metadata: str, name: RoomName, secret: str, now_s: float) -> str:
    """Return the metadata with a signature for the room; raises BadInput for one that is no JSON object."""
    fields = _unsigned(metadata_object(metadata))
    claims = {"aud": AUDIENCE, "sub": name.room, "metadata": fields, "exp": now_s + LONGEST_MEETING_S}
    return json.dumps(fields | {FIELD: jwt.encode(claims, secret, ALGORITHM)})


def check_signature(metadata: str, name: RoomName, secrets: Sequence[str], *, ended: bool = False) -> None:
    """Check the signature of a job's metadata; raises Unauthorized, or Forbidden for that of another room or metadata.

    Without secrets nothing is checked. The signature of a job that has `ended` may have expired: it only reports usage.
    """
    if not secrets:
        return
    fields = metadata_object(metadata)
    signature = fields.get(FIELD)
    if not isinstance(signature, str):
        raise Unauthorized("The metadata of the job needs a signature: RAYROOM_DISPATCH_SECRET is set.", _PARAM)
    claims = _claims(signature, secrets, ended)
    if claims["sub"] != name.room:
        raise Forbidden("The signature of the metadata is for another room.", _PARAM)
    if claims["metadata"] != _unsigned(fields):
        raise Forbidden("The signature is for other metadata.", _PARAM)


def _unsigned(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != FIELD}


def _claims(signature: str, secrets: Sequence[str], ended: bool) -> Mapping[str, Any]:
    for secret in secrets:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                signature,
                secret,
                [ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["aud", "sub", "exp", "metadata"], "verify_exp": not ended},
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredToken("The signature of the metadata has expired.", _PARAM) from None
        # A JSON string may hold half of a surrogate pair, which no token has.
        except (jwt.InvalidTokenError, UnicodeError):
            continue
        return claims
    raise Unauthorized("The signature of the metadata is not valid.", _PARAM)
