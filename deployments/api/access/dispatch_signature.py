"""Sign the metadata of an agent's job, and verify it when the agent opens its room.

The metadata is a JSON object; its field `signature` is a JWT for the room's name, signed with HS256 by one of the
dispatch secrets. Any backend can make it with a JWT library of its language.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

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
    claims = {"aud": AUDIENCE, "sub": name.room, "exp": now_s + LONGEST_MEETING_S}
    return json.dumps(metadata_object(metadata) | {FIELD: jwt.encode(claims, secret, ALGORITHM)})


def check_signature(metadata: str, name: RoomName, secrets: Sequence[str], *, ended: bool = False) -> None:
    """Check the signature of a job's metadata; raises Unauthorized, or Forbidden for the signature of another room.

    Without secrets nothing is checked. The signature of a job that has `ended` may have expired: it only reports usage.
    """
    if not secrets:
        return
    signature = metadata_object(metadata).get(FIELD)
    if not isinstance(signature, str):
        raise Unauthorized(
            "The metadata of the job needs a signature, because RAYROOM_DISPATCH_SECRET is set.", "metadata.signature"
        )
    if _signed_room(signature, secrets, ended) != name.room:
        raise Forbidden("The signature of the metadata is for another room.", _PARAM)


def _signed_room(signature: str, secrets: Sequence[str], ended: bool) -> str:
    for secret in secrets:
        try:
            claims = jwt.decode(
                signature,
                secret,
                [ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["aud", "sub", "exp"], "verify_exp": not ended},
            )
        except jwt.ExpiredSignatureError:
            raise ExpiredToken("The signature of the metadata has expired.", _PARAM) from None
        # A JSON string may hold half of a surrogate pair, which no token has.
        except (jwt.InvalidTokenError, UnicodeError):
            continue
        return str(claims["sub"])
    raise Unauthorized("The signature of the metadata is not valid.", _PARAM)
