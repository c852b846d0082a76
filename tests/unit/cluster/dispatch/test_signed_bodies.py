"""Only bodies that LiveKit's API key signs are parsed."""

from __future__ import annotations

import pytest

from cluster.dispatch.signed_bodies import SignedBodies
from room_agent.core.worker_heartbeat import WorkerHeartbeat, WorkerJob, signed_token
from routing.errors import BadInput, Unauthorized

KEY, SECRET = "key", "s" * 32
BODIES = SignedBodies(KEY, SECRET)
BEAT = WorkerHeartbeat(worker="worker-1", number=1, jobs=(WorkerJob(room="tenant_acme_x", identity="rayroom-1"),))
BODY = BEAT.model_dump_json().encode()


def test_a_signed_heartbeat_and_a_signed_webhook_are_parsed() -> None:
    assert BODIES.heartbeat(BODY, signed_token(KEY, SECRET, BODY)) == BEAT
    event = b'{"event": "room_started", "id": "EV_1", "room": {"name": "tenant_acme_x"}, "new_field": 1}'
    assert BODIES.webhook(event, signed_token(KEY, SECRET, event)).room.name == "tenant_acme_x"


@pytest.mark.parametrize(
    "token",
    ["", "x.y.z", signed_token(KEY, "t" * 32, BODY), signed_token("other", SECRET, BODY), signed_token(KEY, SECRET, b"")],
    ids=["none", "garbage", "another secret", "another key", "another body"],
)
def test_a_token_that_does_not_sign_the_body_is_refused(token: str) -> None:
    for parse in (BODIES.heartbeat, BODIES.webhook):
        with pytest.raises(Unauthorized):
            parse(BODY, token)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"worker": 1}', b"[" * 10_000, b'{"room": 7}'])
def test_a_signed_body_of_another_form_is_bad_input(body: bytes) -> None:
    for parse in (BODIES.heartbeat, BODIES.webhook):
        with pytest.raises(BadInput):
            parse(body, signed_token(KEY, SECRET, body))
