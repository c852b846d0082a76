"""A job's metadata carries a signature for its room, if the router has a dispatch secret."""

from __future__ import annotations

import json
import time

import jwt
import pytest

from cluster.dispatch.livekit_rooms import LiveKitRooms
from cluster.dispatch.models import CreateDispatch
from deployments.api.access.dispatch_signature import AUDIENCE, check_signature, signed_metadata
from routing.errors import ExpiredToken, Forbidden, Unauthorized
from routing.rooms import check_metadata, parse_room

ROOM = parse_room("tenant_acme_standup")
PLAIN = '{"tenant_id": "acme"}'
SECRET, NEXT = "d" * 32, "e" * 32


def test_signed_metadata_is_accepted_for_its_room_and_stays_valid_metadata() -> None:
    signed = signed_metadata(PLAIN, ROOM, SECRET, time.time())
    check_metadata(ROOM, signed)
    check_signature(signed, ROOM, (SECRET,))
    check_signature(signed, ROOM, (NEXT, SECRET))
    again = signed_metadata(signed, ROOM, NEXT, time.time())
    check_signature(again, ROOM, (NEXT,))


@pytest.mark.parametrize("signature", [None, 7, "", "a.b.c", "\ud800.b.c"])
def test_metadata_without_a_valid_signature_is_refused(signature: object) -> None:
    with pytest.raises(Unauthorized):
        check_signature(json.dumps({"tenant_id": "acme", "signature": signature}), ROOM, (SECRET,))


def test_a_signature_of_another_secret_audience_or_room_is_refused() -> None:
    with pytest.raises(Unauthorized):
        check_signature(signed_metadata(PLAIN, ROOM, NEXT, time.time()), ROOM, (SECRET,))
    with pytest.raises(Forbidden):
        check_signature(signed_metadata(PLAIN, parse_room("tenant_acme_board"), SECRET, time.time()), ROOM, (SECRET,))
    for audience in ("rayroom-router", None):
        claims = {"aud": audience, "sub": ROOM.room, "metadata": {"tenant_id": "acme"}, "exp": time.time() + 60}
        token = jwt.encode({name: value for name, value in claims.items() if value}, SECRET, "HS256")
        with pytest.raises(Unauthorized):
            check_signature(json.dumps({"tenant_id": "acme", "signature": token}), ROOM, (SECRET,))
    assert AUDIENCE != "rayroom-router"


def test_a_signature_covers_every_field_of_the_metadata() -> None:
    fields = json.loads(signed_metadata('{"tenant_id": "acme", "agent": {"name": "Robin"}}', ROOM, SECRET, time.time()))
    check_signature(json.dumps(fields), ROOM, (SECRET,))
    for changed in (fields | {"agent": {"name": "Mallory"}}, fields | {"more": 1}):
        with pytest.raises(Forbidden):
            check_signature(json.dumps(changed), ROOM, (SECRET,))


def test_a_dispatch_is_made_with_signed_metadata_and_drops_what_nobody_has_signed() -> None:
    rooms = LiveKitRooms("http://127.0.0.1:9", "key", "secret", "rayroom", SECRET)
    signed = signed_metadata('{"tenant_id": "acme", "agent": {"name": "Robin"}}', ROOM, SECRET, 0.0)
    for metadata, agent in ((signed, {"name": "Robin"}), ('{"tenant_id": "acme", "agent": {"name": "M"}}', None)):
        made = rooms._request(ROOM.room, CreateDispatch(key="k", metadata=metadata)).metadata
        check_signature(made, ROOM, (SECRET,))
        assert json.loads(made).get("agent") == agent


def test_an_expired_signature_opens_no_room_but_lets_an_ended_job_report_its_usage() -> None:
    old = signed_metadata(PLAIN, ROOM, SECRET, time.time() - 8 * 86_400)
    with pytest.raises(ExpiredToken):
        check_signature(old, ROOM, (SECRET,))
    check_signature(old, ROOM, (SECRET,), ended=True)


def test_without_a_secret_no_signature_is_required() -> None:
    check_signature(PLAIN, ROOM, ())
