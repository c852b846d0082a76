"""Authenticate requests; count every failure, and log some of them without the credential."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import structlog

from deployments.api.access.keys import AgentGrant, KeySource, check_admin_key, check_agent_key
from deployments.api.access.room_tokens import RoomToken, Tokens
from routing.errors import ExpiredToken, Forbidden, Unauthorized

Credential = Literal["agent key", "admin key", "room token", "dispatch signature"]
FailureReason = Literal["invalid", "expired", "not allowed"]
LOG_EVERY_S = 10.0
"""At most one line for each kind of credential and reason in this time: a flood of guesses fills no disk."""

log = structlog.get_logger()


class FailedAuthentications:
    """The failures since the last log line, by credential and reason: at most twelve counts."""

    def __init__(
        self,
        count: Callable[[Credential, FailureReason], None] = lambda credential, reason: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._clock = clock
        self._unlogged: dict[tuple[Credential, FailureReason], int] = {}
        self._logged_at_s: dict[tuple[Credential, FailureReason], float] = {}

    @contextmanager
    def of(self, credential: Credential) -> Iterator[None]:
        """Count the authentication error that the block raises."""
        try:
            yield
        except (Unauthorized, Forbidden) as error:
            self._failed(credential, _reason(error))
            raise

    def _failed(self, credential: Credential, reason: FailureReason) -> None:
        self._count(credential, reason)
        kind, now_s = (credential, reason), self._clock()
        self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
        if now_s - self._logged_at_s.get(kind, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_at_s[kind] = now_s
            log.warning(
                "authentication failed", credential=credential, reason=reason, failures=self._unlogged.pop(kind)
            )


class Authentication:
    """The keys and room tokens of one router replica."""

    def __init__(self, keys: KeySource, tokens: Tokens, failures: FailedAuthentications) -> None:
        self._keys = keys
        self._tokens = tokens
        self.failures = failures

    def agent(self, header: str | None) -> AgentGrant:
        """Return the tenants of an agent key; raises Unauthorized."""
        with self.failures.of("agent key"):
            return check_agent_key(header, self._keys.current())

    def admin(self, header: str | None) -> None:
        """Check an admin key; raises Unauthorized."""
        with self.failures.of("admin key"):
            check_admin_key(header, self._keys.current())

    def room(self, header: str | None, room: str | None = None) -> RoomToken:
        """Return a room token's claims; raises Unauthorized, or Forbidden if it is for another room than `room`."""
        with self.failures.of("room token"):
            return self._tokens.read(header, room)


def _reason(error: Unauthorized | Forbidden) -> FailureReason:
    if isinstance(error, Forbidden):
        return "not allowed"
    return "expired" if isinstance(error, ExpiredToken) else "invalid"
