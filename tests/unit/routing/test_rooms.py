"""A room name splits into a tenant id and a meeting id in exactly one way."""

from __future__ import annotations

import json

import pytest

from routing.errors import BadInput, Forbidden, RayroomError, RoomNameInvalid
from routing.rooms import check_metadata, parse_room


@pytest.mark.parametrize(
    ("room", "tenant_id", "meeting_id"),
    [
        ("tenant_acme_standup", "acme", "standup"),
        ("tenant_acme_2026_q4_review", "acme", "2026_q4_review"),
        ("tenant_a-b.c_1", "a-b.c", "1"),
        ("tenant_ACME_x", "ACME", "x"),
    ],
)
def test_a_room_name_contains_the_tenant_and_the_meeting(room: str, tenant_id: str, meeting_id: str) -> None:
    name = parse_room(room)
    assert (name.tenant_id, name.meeting_id) == (tenant_id, meeting_id)


@pytest.mark.parametrize(
    "room",
    [
        *("", "acme", "tenant_", "tenant_acme", "tenant_acme_", "tenant__x", "Tenant_acme_x", " tenant_acme_x"),
        *("tenant_acme_x\n", "tenant_acme_a b", "tenant_äcme_x", "tenant_acme_\u202ex", "tenant_acme_" + "x" * 250),
    ],
)
def test_any_other_name_is_rejected(room: str) -> None:
    with pytest.raises(RoomNameInvalid):
        parse_room(room)


@pytest.mark.parametrize("metadata", [{"tenant_id": "acme"}, {"tenant_id": "acme", "meeting_id": "standup", "x": 1}])
def test_metadata_that_names_the_rooms_tenant_is_accepted(metadata: dict[str, object]) -> None:
    check_metadata(parse_room("tenant_acme_standup"), json.dumps(metadata))


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        ("", BadInput),
        ("acme", BadInput),
        ('["acme"]', BadInput),
        ("[" * 20_000, BadInput),
        ("{}", Forbidden),
        ('{"tenant_id": null}', Forbidden),
        ('{"tenant_id": "globex"}', Forbidden),
        ('{"tenant_id": "Acme"}', Forbidden),
        ('{"tenant_id": "acme", "meeting_id": "other"}', Forbidden),
    ],
)
def test_other_metadata_is_rejected(metadata: str, kind: type[RayroomError]) -> None:
    with pytest.raises(kind) as excinfo:
        check_metadata(parse_room("tenant_acme_standup"), metadata)
    assert str(excinfo.value.param).startswith("metadata")
