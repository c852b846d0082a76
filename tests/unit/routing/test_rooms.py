"""A room name splits into a tenant id and a meeting id in exactly one way, and wrong fields of an agent are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routing.errors import BadInput, Forbidden, RayroomError, RoomNameInvalid
from routing.models import MAX_INSTRUCTIONS_CHARS, TenantAgent
from routing.rooms import check_metadata, parse_room, read_tenant_agent


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


ADA = TenantAgent(names=("Ada",), language="de", voices={"fr": "marie"}, watches_cameras=False)


def test_an_agent_is_read_from_camel_case_and_written_back_to_it() -> None:
    agent, refused = read_tenant_agent(
        {"names": ["Ada"], "language": "de", "voices": {"fr": "marie"}, "watchesCameras": False}
    )
    assert (agent, refused) == (ADA, ())
    assert read_tenant_agent(ADA.model_dump(by_alias=True, mode="json")) == (ADA, ())


def test_a_rooms_metadata_changes_only_what_it_names() -> None:
    agent, _ = read_tenant_agent({"language": "fr"}, ADA)
    assert agent == ADA.model_copy(update={"language": "fr"})
    assert read_tenant_agent(None, ADA) == (ADA, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("names", ["a"] * 6),
        ("names", ["A\nB"]),
        ("names", "Ada"),
        ("names", [" "]),
        ("instructions", "x" * (MAX_INSTRUCTIONS_CHARS + 1)),
        ("instructions", ["x"]),
        ("greeting", "x" * 301),
        ("language", "deutsch, bitte"),
        ("voiceId", "../voices"),
        ("voices", {"de": "../voices"}),
        ("voices", {"tlh": "qapla"}),
        ("voices", ["abc"]),
        ("tier", "best"),
        ("watchesScreens", "no"),
        ("unknown", 1),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_all_others_hold(name: str, value: Any) -> None:
    agent, refused = read_tenant_agent({name: value, "voiceId" if name != "voiceId" else "greeting": "abc"})
    assert [field.name for field in refused] == [name]
    assert "abc" in (agent.voice_id, agent.greeting)


def test_a_value_that_is_no_object_changes_nothing() -> None:
    assert [field.name for field in read_tenant_agent("Ada")[1]] == ["agent"]


def test_an_object_of_many_fields_is_read_within_a_bound() -> None:
    assert len(read_tenant_agent({f"field{number}": 1 for number in range(10_000)})[1]) == 32


def test_control_characters_leave_the_instructions() -> None:
    assert read_tenant_agent({"instructions": "Be\u0000 brief.\u202e\nPlease."})[0].instructions == "Be brief.\nPlease."
