"""Only webhooks and workers that LiveKit's API key signs are accepted."""

from __future__ import annotations

import base64
import hashlib

import pytest
from livekit import api

from cluster.dispatch.signatures import Signatures
from room_agent.core.worker_heartbeat import worker_token
from routing.errors import BadInput, Forbidden, Unauthorized

KEY, SECRET = "key", "s" * 32
SIGNATURES = Signatures(KEY, SECRET)
EVENT = b'{"event": "room_started", "id": "EV_1", "room": {"name": "tenant_acme_x"}, "new_field": 1}'


def signed(body: bytes, key: str = KEY, secret: str = SECRET) -> str:
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(key, secret).with_sha256(sha256).to_jwt()


def test_a_signed_webhook_is_parsed() -> None:
    assert SIGNATURES.webhook(EVENT, signed(EVENT)).room.name == "tenant_acme_x"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        signed(EVENT, secret="t" * 32),
        signed(EVENT, key="other"),
        signed(b""),
        worker_token(KEY, SECRET),
    ],
    ids=["none", "garbage", "another secret", "another key", "another body", "no body"],
)
def test_a_token_that_does_not_sign_the_body_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        SIGNATURES.webhook(EVENT, token)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"worker": 1}', b"[" * 10_000, b'{"room": 7}'])
def test_a_signed_body_of_another_form_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput):
        SIGNATURES.webhook(body, signed(body))


def test_a_worker_needs_a_grant_that_participants_do_not_have() -> None:
    SIGNATURES.check_worker(worker_token(KEY, SECRET))
    grants = api.VideoGrants(room_join=True, room="tenant_acme_x")
    participant = api.AccessToken(KEY, SECRET).with_identity("ann").with_grants(grants)
    with pytest.raises(Forbidden):
        SIGNATURES.check_worker(participant.to_jwt())
    with pytest.raises(Unauthorized):
        SIGNATURES.check_worker(worker_token(KEY, "t" * 32))
