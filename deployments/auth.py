"""Checks keys, and issues and reads room tokens. The tenant of a request is the one its token was signed for."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

import jwt

from routing.errors import Forbidden, Unauthorized
from routing.rooms import RoomName, parse_room

ISSUER = "rayroom"
ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that open rayroom: several of each may be valid at once, so that one can be changed without a stop."""

    agent: tuple[str, ...]
    admin: tuple[str, ...]
    token_secret: str

    def __repr__(self) -> str:
        return f"Keys(agent={len(self.agent)}, admin={len(self.admin)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomToken:
    """What a verified room token says."""

    name: RoomName
    job_id: str
    opened_at_s: float
    expires_at_s: float

    @property
    def tenant_id(self) -> str:
        return self.name.tenant_id


def check_key(header: str | None, keys: tuple[str, ...], kind: str) -> None:
    """Check an `Authorization: Bearer` header against the valid keys of one kind; raises Unauthorized."""
    given = bearer(header).encode()
    # Every key is compared, so that the time taken tells nothing.
    if not any([hmac.compare_digest(given, key.encode()) for key in keys]):
        raise Unauthorized(f"This needs a valid {kind} key as a bearer token.", "authorization")


def issue_token(name: RoomName, job_id: str, ttl_s: float, now_s: float, opened_at_s: float | None = None) -> RoomToken:
    """Return the claims of a new token for one job in one room."""
    return RoomToken(name=name, job_id=job_id, opened_at_s=opened_at_s or now_s, expires_at_s=now_s + ttl_s)


def sign(token: RoomToken, keys: Keys) -> str:
    claims = {
        "iss": ISSUER,
        "sub": token.name.room,
        "tenant": token.tenant_id,
        "job": token.job_id,
        "opened": token.opened_at_s,
        "exp": token.expires_at_s,
    }
    return jwt.encode(claims, keys.token_secret, ALGORITHM)


def read_token(header: str | None, keys: Keys, room: str | None = None) -> RoomToken:
    """Return a room token's claims; raises Unauthorized, or Forbidden when it is for another room than `room`."""
    try:
        claims = jwt.decode(
            bearer(header),
            keys.token_secret,
            [ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "iss", "sub", "tenant", "job"]},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthorized("The room token has expired; open the room again.", "authorization") from None
    except jwt.InvalidTokenError:
        raise Unauthorized("This needs a valid room token as a bearer token.", "authorization") from None
    token = RoomToken(
        name=parse_room(claims["sub"]),
        job_id=str(claims["job"]),
        opened_at_s=float(claims.get("opened", 0.0)),
        expires_at_s=float(claims["exp"]),
    )
    if token.tenant_id != claims["tenant"] or (room is not None and room != token.name.room):
        raise Forbidden("This room token is for another room.", "room")
    return token


def bearer(header: str | None) -> str:
    """Return the credential of an `Authorization: Bearer` header; raises Unauthorized."""
    scheme, _, credential = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise Unauthorized("The Authorization header must be: Bearer, a space, and a key or token.", "authorization")
    return credential.strip()
