"""API keys and room tokens. The tenant of a request is the one its token was signed for."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

import jwt
from cachetools import FIFOCache

from routing.errors import Forbidden, Unauthorized
from routing.rooms import RoomName, parse_room

ISSUER = "rayroom"
ALGORITHM = "HS256"
MAX_TOKENS = 20_000


@dataclass(frozen=True, slots=True)
class Keys:
    """The valid keys. Several agent and admin keys may be valid at once, so that they can be rotated while serving."""

    agent: tuple[str, ...]
    admin: tuple[str, ...]
    token_secret: str

    def __repr__(self) -> str:
        return f"Keys(agent={len(self.agent)}, admin={len(self.admin)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomToken:
    """The claims of a verified room token."""

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
    # Every key is compared, so that the time taken leaks nothing.
    if not any([hmac.compare_digest(given, key.encode()) for key in keys]):
        raise Unauthorized(f"This needs a valid {kind} key as a bearer token.", "authorization")


def issue_token(name: RoomName, job_id: str, ttl_s: float, now_s: float, opened_at_s: float | None = None) -> RoomToken:
    """Return the claims of a new token for one job in one room."""
    return RoomToken(name=name, job_id=job_id, opened_at_s=opened_at_s or now_s, expires_at_s=now_s + ttl_s)


def sign(token: RoomToken, keys: Keys) -> str:
    """Return the token as a signed JWT."""
    claims = {
        "iss": ISSUER,
        "sub": token.name.room,
        "tenant": token.tenant_id,
        "job": token.job_id,
        "opened": token.opened_at_s,
        "exp": token.expires_at_s,
    }
    return jwt.encode(claims, keys.token_secret, ALGORITHM)


class Tokens:
    """Verifies room tokens and caches the valid ones until they expire: a room sends the same one for minutes."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.time, limit: int = MAX_TOKENS) -> None:
        self._keys = keys
        self._clock = clock
        # Tokens expire in the order they were issued, so the first one in is the first to give way.
        self._known: FIFOCache[str, RoomToken] = FIFOCache(limit)

    def __len__(self) -> int:
        return len(self._known)

    def read(self, header: str | None, room: str | None = None) -> RoomToken:
        """Return a token's claims; raises Unauthorized, or Forbidden if it is for another room than `room`."""
        token = self._known.get(header or "")
        # In whole seconds, as the JWT library compares: an expired cached token is verified again and rejected.
        if token is None or int(token.expires_at_s) <= self._clock():
            token = self._verified(header or "")
        if room is not None and room != token.name.room:
            raise Forbidden("This room token is for another room.", "room")
        return token

    def _verified(self, header: str) -> RoomToken:
        self._known.pop(header, None)
        token = read_token(header, self._keys)
        self._known[header] = token
        return token


def read_token(header: str | None, keys: Keys) -> RoomToken:
    """Return a room token's claims; raises Unauthorized, or Forbidden if its tenant is not its room's."""
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
    if token.tenant_id != claims["tenant"]:
        raise Forbidden("This room token is for another room.", "room")
    return token


def bearer(header: str | None) -> str:
    """Return the credential of an `Authorization: Bearer` header; raises Unauthorized."""
    scheme, _, credential = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise Unauthorized("The Authorization header must be: Bearer, a space, and a key or token.", "authorization")
    return credential.strip()
