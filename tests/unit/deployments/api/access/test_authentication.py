"""Failed authentication is counted each time, logged now and then, and never with the credential."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from structlog.testing import capture_logs

from deployments.api.access.authentication import LOG_EVERY_S, Authentication, FailedAuthentications
from deployments.api.access.keys import Keys, check_agent_key
from deployments.api.access.room_tokens import Tokens, issue_token, sign
from routing.errors import Forbidden, Unauthorized
from routing.rooms import parse_room

KEYS = Keys(
    agent=("agent-key-of-all-tenants", "agent-key-of-acme"),
    admin=("admin-key-0123456789",),
    token_secret="s" * 32,
    agent_tenants={"agent-key-of-acme": frozenset({"acme"})},
)
ROOM = "tenant_acme_standup"


def room_bearer(ttl_s: float = 900.0) -> str:
    return "Bearer " + sign(issue_token(parse_room(ROOM), "job-1", ttl_s, time.time()), KEYS)


def test_each_failure_is_counted_by_credential_and_reason() -> None:
    counted: Counter[tuple[str, str]] = Counter()
    failures = FailedAuthentications(lambda credential, reason: counted.update([(credential, reason)]))
    authentication = Authentication(KEYS, Tokens(KEYS), failures)
    for header in (None, "Bearer wrong-agent-key-0", "Bearer admin-key-0123456789"):
        with pytest.raises(Unauthorized):
            authentication.agent(header)
    with pytest.raises(Unauthorized):
        authentication.admin("Bearer agent-key-of-all-tenants")
    with pytest.raises(Unauthorized):
        authentication.room(room_bearer(ttl_s=-5.0))
    with pytest.raises(Forbidden):
        authentication.room(room_bearer(), "tenant_acme_board")
    assert authentication.agent("Bearer agent-key-of-all-tenants").allows("globex")
    authentication.admin("Bearer admin-key-0123456789")
    assert authentication.room(room_bearer(), ROOM).tenant_id == "acme"
    assert counted == {
        ("agent key", "invalid"): 3,
        ("admin key", "invalid"): 1,
        ("room token", "expired"): 1,
        ("room token", "not allowed"): 1,
    }


def test_a_flood_of_guesses_is_one_line_in_ten_seconds_with_their_number_and_without_the_guess() -> None:
    now_s = 0.0
    failures = FailedAuthentications(clock=lambda: now_s)
    authentication = Authentication(KEYS, Tokens(KEYS), failures)
    with capture_logs() as logs:
        for number in range(2_000):
            now_s = number * LOG_EVERY_S / 1_000
            with pytest.raises(Unauthorized):
                authentication.agent(f"Bearer guessed-secret-{number}")
    assert [entry["failures"] for entry in logs] == [1, 1_000]
    assert "guessed" not in str(logs) and {entry["credential"] for entry in logs} == {"agent key"}


def test_a_limited_agent_key_is_for_its_tenants_only() -> None:
    grant = check_agent_key("Bearer agent-key-of-acme", KEYS)
    assert grant.allows("acme") and not grant.allows("globex") and not grant.allows("")
