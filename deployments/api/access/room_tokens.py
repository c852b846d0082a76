"""Room tokens. The tenant of a request is the one its token was signed for."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import jwt
from cachetools import FIFOCache
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from deployments.api.access.keys import Keys, KeySource, bearer, secret_id
from routing.errors import ExpiredToken, Forbidden, Unauthorized
from routing.rooms import RoomName, parse_room

ISSUER = "rayroom"
AUDIENCE = "rayroom-router"
ALGORITHM = "HS256"
MAX_TOKENS = 20_000
_INVALID = "This needs a valid room token as a bearer token."


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomToken:
    """The claims of a verified room token."""

    name: RoomName
    job_id: str
    opened_at_s: float
    expires_at_s: float
    token_id: str
    """It names the token in log lines, which never hold the token itself."""

    @property
    def tenant_id(self) -> str:
        return self.name.tenant_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLifetime:
    """How long a room token is valid, and for how long after the room was opened it may be renewed."""

    ttl_s: float
    longest_s: float


class _Claims(BaseModel):
    """The claims of a signed token, each of exactly its type: a secret may be used by several programs."""

    model_config = ConfigDict(strict=True, extra="ignore")

    sub: str
    tenant: str
    job: str
    jti: str
    opened: FiniteFloat
    exp: FiniteFloat


def new_token_id() -> str:
    """Return a random token id."""
    return secrets.token_hex(16)


def issue_token(name: RoomName, job_id: str, ttl_s: float, now_s: float) -> RoomToken:
    """Return the claims of a new token for one job in one room, opened now."""
    return RoomToken(name=name, job_id=job_id, opened_at_s=now_s, expires_at_s=now_s + ttl_s, token_id=new_token_id())


def renew_token(token: RoomToken, lifetime: TokenLifetime, now_s: float) -> RoomToken:
    """Return the token past half its time with a later expiry, no later than its room's longest time allows."""
    if token.expires_at_s - now_s > lifetime.ttl_s / 2:
        return token
    expires_at_s = min(now_s + lifetime.ttl_s, token.opened_at_s + lifetime.longest_s)
    if expires_at_s <= token.expires_at_s:
        return token
    return replace(token, expires_at_s=expires_at_s, token_id=new_token_id())


def sign(token: RoomToken, keys: Keys) -> str:
    """Return the token as a JWT that names the secret which signed it."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": token.token_id,
        "sub": token.name.room,
        "tenant": token.tenant_id,
        "job": token.job_id,
        "opened": token.opened_at_s,
        "exp": token.expires_at_s,
    }
    return jwt.encode(claims, keys.token_secret, ALGORITHM, headers={"kid": secret_id(keys.token_secret)})


class Tokens:
    """Verifies room tokens and caches the valid ones until they expire: a room sends the same one for minutes."""

    def __init__(
        self,
        keys: KeySource,
        clock: Callable[[], float] = time.time,
        limit: int = MAX_TOKENS,
        longest_s: float = math.inf,
    ) -> None:
        """`longest_s` is the longest life of a token after its room was opened."""
        self._source = keys
        self._keys = keys.current()
        self._clock = clock
        self._longest_s = longest_s
        # Tokens expire in the order they were issued, so the first one in is the first to give way.
        self._known: FIFOCache[str, RoomToken] = FIFOCache(limit)

    def __len__(self) -> int:
        return len(self._known)

    def read(self, header: str | None, room: str | None = None) -> RoomToken:
        """Return a token's claims; raises Unauthorized, or Forbidden if it is for another room than `room`."""
        credential, keys = bearer(header), self._source.current()
        if keys is not self._keys:
            # A secret may have been withdrawn.
            self._known.clear()
            self._keys = keys
        token = self._known.get(credential)
        # In whole seconds, as the JWT library compares: an expired cached token is verified again and rejected.
        if token is None or int(token.expires_at_s) <= self._clock():
            token = self._verified(credential)
        if token.opened_at_s + self._longest_s <= self._clock():
            raise ExpiredToken(param="authorization")
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
        secret = keys.secret_of(jwt.get_unverified_header(credential).get("kid"))
        if secret is None:
            raise Unauthorized(_INVALID, "authorization")
        claims = jwt.decode(
            credential,
            secret,
            [ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["aud", "exp", "iss", "jti", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        raise ExpiredToken(param="authorization") from None
    except jwt.InvalidTokenError:
        raise Unauthorized(_INVALID, "authorization") from None
    try:
        parsed = _Claims.model_validate(claims)
    except ValidationError:
        raise Unauthorized(_INVALID, "authorization") from None
    token = RoomToken(
        name=parse_room(parsed.sub),
        job_id=parsed.job,
        opened_at_s=parsed.opened,
        expires_at_s=float(parsed.exp),
        token_id=parsed.jti,
    )
    if token.tenant_id != parsed.tenant:
        raise Forbidden("This room token is for another room.", "room")
    return token
