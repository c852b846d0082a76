"""A room's routes: it is opened, kept by heartbeats, closed, and its usage is returned."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from cluster.rooms.registry import SILENT_S
from tests.integration.gateway.router_requests import ADMIN, AGENT, error_of, opening
from tests.support.credentials import FRAME_HEADERS, Bearer
from tests.support.gateway import KEYS, InProcessCluster, jpeg


async def test_a_token_of_another_room_opens_no_room(http: httpx.AsyncClient, bearer: Bearer) -> None:
    heartbeat = await http.post("/v1/rooms/tenant_globex_x/heartbeat", json={}, headers=bearer())
    closed = await http.delete("/v1/rooms/tenant_globex_x", headers=bearer())
    named = await http.post(
        "/v1/frames", content=jpeg(), headers=bearer(**FRAME_HEADERS, **{"x-rayroom-room": "tenant_globex_x"})
    )
    assert [response.status_code for response in (heartbeat, closed, named)] == [403, 403, 403]


async def test_a_room_lives_from_its_opening_to_its_end(http: httpx.AsyncClient) -> None:
    opened = (await http.post("/v1/rooms", json=opening(), headers=AGENT)).json()
    token = {"authorization": f"Bearer {opened['token']}"}
    assert opened["tenant"] == {"id": "acme", "name": "Acme", "plan": "pro"} and opened["simulated"] is True
    await http.post("/v1/frames", content=jpeg(), headers={**token, **FRAME_HEADERS})
    await http.post("/v1/rooms/tenant_acme_standup/heartbeat", json={"counters": {"frames_seen": 3}}, headers=token)
    usage = (await http.get("/v1/tenants/acme/usage", headers=ADMIN)).json()
    assert usage["rooms"][0]["counters"] == {"frames_seen": 3} and usage["settled_nanousd"] > 0
    closed = (await http.delete("/v1/rooms/tenant_acme_standup", headers=token)).json()
    assert closed["settled_nanousd"] == usage["settled_nanousd"]
    assert (await http.get("/v1/tenants/acme/usage", headers=ADMIN)).json()["rooms"] == []


async def test_a_room_without_a_heartbeat_for_a_minute_is_over_until_the_next_one(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    async def rooms() -> list[str]:
        return [room["room"] for room in (await http.get("/v1/tenants/acme/usage", headers=ADMIN)).json()["rooms"]]

    await http.post("/v1/rooms", json=opening(), headers=AGENT)
    cluster.clock = lambda: time.time() + SILENT_S - 10
    assert await rooms() == ["tenant_acme_standup"]
    cluster.clock = lambda: time.time() + SILENT_S + 10
    assert await rooms() == []
    cluster.clock = time.time
    await http.post("/v1/rooms/tenant_acme_standup/heartbeat", json={}, headers=bearer())
    assert await rooms() == ["tenant_acme_standup"]


async def test_a_heartbeat_renews_a_token_that_is_half_spent(http: httpx.AsyncClient, bearer: Bearer) -> None:
    path = "/v1/rooms/tenant_acme_standup/heartbeat"
    fresh = (await http.post(path, json={}, headers=bearer(ttl_s=900))).json()
    spent = (await http.post(path, json={}, headers=bearer(ttl_s=100))).json()
    assert fresh["expires_at"] == pytest.approx(spent["expires_at"], abs=5)


BAD_ROOMS: dict[str, tuple[dict[str, str], tuple[int, str, str | None]]] = {
    "no grammar": (opening("lobby"), (400, "invalid_room_name", "room")),
    "no meeting": (opening("tenant_acme_"), (400, "invalid_room_name", "room")),
    "a space": (opening("tenant_acme_stand up"), (400, "invalid_room_name", "room")),
    "a line end": (opening("tenant_acme_standup\n"), (400, "invalid_room_name", "room")),
    "too long": (opening("tenant_acme_" + "x" * 300), (400, "invalid_room_name", "room")),
    "another tenant's metadata": (opening(tenant="globex"), (403, "forbidden", "metadata.tenant_id")),
    "a tenant id with _": (opening("tenant_ac_me_x", tenant="ac_me"), (403, "forbidden", "metadata.tenant_id")),
    "no metadata": (opening() | {"metadata": ""}, (400, "invalid_value", "metadata")),
    "metadata that is a list": (opening() | {"metadata": "[]"}, (400, "invalid_value", "metadata")),
    "metadata without an end": (opening() | {"metadata": "[" * 16_000}, (400, "invalid_value", "metadata")),
    "an unknown tenant": (opening("tenant_nobody_x", "nobody"), (404, "tenant_not_found", "tenant_id")),
    "a suspended tenant": (opening("tenant_initech_x", "initech"), (403, "tenant_suspended", "tenant_id")),
    "an unknown key": (opening() | {"tenant": "acme"}, (400, "unknown_parameter", "tenant")),
    "no job": ({k: v for k, v in opening().items() if k != "job_id"}, (400, "invalid_value", "job_id")),
}


@pytest.mark.parametrize("name", BAD_ROOMS)
async def test_a_bad_room_is_refused_with_its_reason(name: str, http: httpx.AsyncClient) -> None:
    body, expected = BAD_ROOMS[name]
    assert error_of(await http.post("/v1/rooms", json=body, headers=AGENT)) == expected


async def test_every_valid_agent_key_opens_a_room_and_no_other_does(http: httpx.AsyncClient) -> None:
    statuses = [
        (await http.post("/v1/rooms", json=opening(), headers={"authorization": f"Bearer {key}"})).status_code
        for key in (*KEYS.agent, *KEYS.admin, "", "x" * 20)
    ]
    assert statuses == [200, 200, 401, 401, 401]


async def test_usage_needs_an_admin_key_and_a_known_tenant(http: httpx.AsyncClient, bearer: Bearer) -> None:
    statuses = [
        (await http.get("/v1/tenants/acme/usage", headers=headers)).status_code for headers in ({}, AGENT, bearer())
    ]
    assert statuses == [401, 401, 401]
    assert error_of(await http.get("/v1/tenants/nobody/usage", headers=ADMIN))[:2] == (404, "tenant_not_found")


async def test_the_token_of_a_closed_room_is_refused_and_costs_nothing_more(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    opened = (await http.post("/v1/rooms", json=opening(), headers=AGENT)).json()
    token = {"authorization": f"Bearer {opened['token']}"}
    await http.delete("/v1/rooms/tenant_acme_standup", headers=token)
    chat = await http.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}]}, headers=token
    )
    heartbeat = await http.post("/v1/rooms/tenant_acme_standup/heartbeat", json={}, headers=token)
    assert [error_of(response)[:2] for response in (chat, heartbeat)] == [(401, "room_closed")] * 2
    assert await cluster.events() == []


async def test_a_closed_room_can_still_report_the_usage_that_it_owes(http: httpx.AsyncClient) -> None:
    opened = (await http.post("/v1/rooms", json=opening(), headers=AGENT)).json()
    token = {"authorization": f"Bearer {opened['token']}"}
    await http.delete("/v1/rooms/tenant_acme_standup", headers=token)
    ended = {"ended": True}
    heartbeat = await http.post("/v1/rooms/tenant_acme_standup/heartbeat", json=ended, headers=token)
    assert heartbeat.status_code == 200


async def test_a_room_opens_with_its_tenants_agent_as_the_signed_metadata_changes_it(http: httpx.AsyncClient) -> None:
    metadata = {"tenant_id": "acme", "agent": {"names": ["Ada"], "greeting": "x" * 301}}
    opened = (await http.post("/v1/rooms", json=opening() | {"metadata": json.dumps(metadata)}, headers=AGENT)).json()
    assert opened["agent"]["names"] == ["Ada"] and opened["agent"]["greeting"] == ""
    assert [field["name"] for field in opened["agent_refused"]] == ["greeting"]
