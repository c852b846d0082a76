"""API keys and room tokens. The tenant of a request is the one its token was signed for."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import jwt
from cachetools import FIFOCache
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from routing.errors import Forbidden, Unauthorized
from routing.rooms import RoomName, parse_room

ISSUER = "rayroom"
ALGORITHM = "HS256"
MAX_TOKENS = 20_000
MAX_CREDENTIAL_CHARS = 4_096
"""A room token has about 300 characters."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLifetime:
    """How long a room token is valid, and for how long after the room was opened it may be renewed."""

    ttl_s: float
    longest_s: float


def check_key(header: str | None, keys: tuple[str, ...], kind: str) -> None:
    """Check an `Authorization: Bearer` header against the valid keys of one kind; raises Unauthorized."""
    given = bearer(header).encode()
    # Every key is compared, so that the time taken leaks nothing.
    if not any([hmac.compare_digest(given, key.encode()) for key in keys]):
        raise Unauthorized(f"This needs a valid {kind} key as a bearer token.", "authorization")


class _Claims(BaseModel):
    """The claims of a signed token, each of exactly its type: a secret may be used by several programs."""

    model_config = ConfigDict(strict=True, extra="ignore")

    sub: str
    tenant: str
    job: str
    opened: FiniteFloat
    exp: FiniteFloat


def issue_token(name: RoomName, job_id: str, ttl_s: float, now_s: float) -> RoomToken:
    """Return the claims of a new token for one job in one room, opened now."""
    return RoomToken(name=name, job_id=job_id, opened_at_s=now_s, expires_at_s=now_s + ttl_s)


def renew_token(token: RoomToken, lifetime: TokenLifetime, now_s: float) -> RoomToken:
    """Return the token past half its time with a later expiry, no later than its room's longest time allows."""
    if token.expires_at_s - now_s > lifetime.ttl_s / 2:
        return token
    expires_at_s = min(now_s + lifetime.ttl_s, token.opened_at_s + lifetime.longest_s)
    return replace(token, expires_at_s=max(token.expires_at_s, expires_at_s))


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
        credential = bearer(header)
        token = self._known.get(credential)
        # In whole seconds, as the JWT library compares: an expired cached token is verified again and rejected.
        if token is None or int(token.expires_at_s) <= self._clock():
            token = self._verified(credential)
        if room is not None and room != token.name.room:
            raise Forbidden("This room token is for another room.", "room")
        return token

    def _verified(self, credential: str) -> RoomToken:
        self._known.pop(credential, None)
        token = read_token(credential, self._keys)
        self._known[credential] = token
        return token


def read_token(credential: str, keys: Keys) -> RoomToken:
    """Return a room token's claims; raises Unauthorized, or Forbidden if its tenant is not its room's."""
    try:
        claims = jwt.decode(
            credential,
            keys.token_secret,
            [ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "iss", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthorized("The room token has expired; open the room again.", "authorization") from None
    except jwt.InvalidTokenError:
        raise Unauthorized("This needs a valid room token as a bearer token.", "authorization") from None
    try:
        parsed = _Claims.model_validate(claims)
    except ValidationError:
        raise Unauthorized("This needs a valid room token as a bearer token.", "authorization") from None
    token = RoomToken(
        name=parse_room(parsed.sub), job_id=parsed.job, opened_at_s=parsed.opened, expires_at_s=float(parsed.exp)
    )
    if token.tenant_id != parsed.tenant:
        raise Forbidden("This room token is for another room.", "room")
    return token


def bearer(header: str | None) -> str:
    """Return the credential of an `Authorization: Bearer` header; raises Unauthorized."""
    scheme, _, rest = (header or "").partition(" ")
    credential = rest.strip()
    if scheme.lower() != "bearer" or not credential or len(credential) > MAX_CREDENTIAL_CHARS:
        raise Unauthorized("The Authorization header must be: Bearer, a space, and a key or token.", "authorization")
    return credential
