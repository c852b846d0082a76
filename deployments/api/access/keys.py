"""The valid keys of the API, and the check of a request's key against them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from routing.errors import Unauthorized

MAX_CREDENTIAL_CHARS = 4_096
"""A room token has about 400 characters."""
_ID_CHARS = 12


@dataclass(frozen=True, slots=True)
class Keys:
    """The valid keys. Several of each kind may be valid at once, so that they can be rotated while serving."""

    agent: tuple[str, ...]
    admin: tuple[str, ...]
    token_secret: str
    """The secret that signs room tokens."""
    former_token_secrets: tuple[str, ...] = ()
    """Secrets whose tokens are still accepted."""
    agent_tenants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The tenants of each agent key that is limited to some."""
    dispatch_secrets: tuple[str, ...] = ()
    """With one of these the metadata of a job has to be signed. Without any, no signature is required."""

    def __repr__(self) -> str:
        return f"Keys(agent={len(self.agent)}, admin={len(self.admin)})"

    def current(self) -> Keys:
        """Return these keys: they are a source of keys that never change."""
        return self

    @property
    def token_secrets(self) -> tuple[str, ...]:
        return (self.token_secret, *self.former_token_secrets)

    def secret_of(self, key_id: object) -> str | None:
        """Return the token secret with this id."""
        return next((secret for secret in self.token_secrets if secret_id(secret) == key_id), None)


class KeySource(Protocol):
    """The keys of a process. A later call may return other keys, because an operator has rotated them."""

    def current(self) -> Keys: ...


@dataclass(frozen=True, slots=True)
class AgentGrant:
    """The tenants whose rooms an agent key may open; None for all of them."""

    tenants: frozenset[str] | None

    def allows(self, tenant_id: str) -> bool:
        return self.tenants is None or tenant_id in self.tenants


def secret_id(secret: str) -> str:
    """Return the public id of a secret: a token names the one that signed it."""
    return hashlib.sha256(b"rayroom signing key:" + secret.encode()).hexdigest()[:_ID_CHARS]


def check_agent_key(header: str | None, keys: Keys) -> AgentGrant:
    """Return the tenants of the agent key in an `Authorization: Bearer` header; raises Unauthorized."""
    return AgentGrant(keys.agent_tenants.get(_matching(header, keys.agent, "agent")))


def check_admin_key(header: str | None, keys: Keys) -> None:
    """Check an `Authorization: Bearer` header against the admin keys; raises Unauthorized."""
    _matching(header, keys.admin, "admin")


def bearer(header: str | None) -> str:
    """Return the credential of an `Authorization: Bearer` header; raises Unauthorized."""
    scheme, _, rest = (header or "").partition(" ")
    credential = rest.strip()
    if scheme.lower() != "bearer" or not credential or len(credential) > MAX_CREDENTIAL_CHARS:
        raise Unauthorized("The Authorization header must be: Bearer, a space, and a key or token.", "authorization")
    return credential


def _matching(header: str | None, keys: tuple[str, ...], kind: str) -> str:
    given = bearer(header).encode()
    # Every key is compared, so that the time taken leaks nothing.
    matching = [key for key in keys if hmac.compare_digest(given, key.encode())]
    if not matching:
        raise Unauthorized(f"This needs a valid {kind} key as a bearer token.", "authorization")
    return matching[0]
