"""`GET /v1/bill` returns the bill page by page to administrators, and the person of a request is on it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from cluster.costs.ledger import Account
from tests.integration.gateway.test_speech_bill import stt_usage
from tests.support.credentials import Bearer
from tests.support.gateway import KEYS, InProcessCluster, jpeg

ADMIN = {"authorization": f"Bearer {KEYS.admin[0]}"}
AGENT = {"authorization": f"Bearer {KEYS.agent[0]}"}
HELLO = [{"role": "user", "content": "Hello"}]


async def bill(http: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    """Return all rows of a bill, by pages of one row."""
    rows, cursor = list[dict[str, Any]](), None
    while True:
        wanted = {**parameters, "limit": 1} | ({"cursor": cursor} if cursor else {})
        response = await http.get("/v1/bill", params=wanted, headers=ADMIN)
        assert response.status_code == 200, response.text
        rows += response.json()["rows"]
        if (cursor := response.json()["next_cursor"]) is None:
            return rows


async def test_the_bill_names_the_person_of_each_request_and_equals_the_totals(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    sent: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"messages": HELLO, "user": "ann"}),
        ("/v1/chat/completions", {"messages": HELLO, "safety_identifier": "bob"}),
        ("/v1/responses", {"input": "Hello", "user": "ann"}),
        ("/v1/embeddings", {"input": "Hello", "user": "ann"}),
        ("/v1/chat/completions", {"messages": HELLO}),
    ]
    for path, body in sent:
        assert (await http.post(path, json=body, headers=bearer())).status_code == 200
    rows = await bill(http, tenant="acme", by="participant")
    assert {row["group"]["participant"]: row["requests"] for row in rows} == {"": 1, "ann": 3, "bob": 1}
    assert sum(row["cost_nanousd"] for row in rows) == (await cluster.totals("acme")).settled_nanousd
    events = await cluster.events()
    assert len({event["request_id"] for event in events}) == 5 and "" not in {event["request_id"] for event in events}


async def test_a_frame_and_a_search_are_on_the_bill_of_their_person(http: httpx.AsyncClient, bearer: Bearer) -> None:
    headers = {"content-type": "image/jpeg", "x-frame-participant": "Zo%C3%AB%0A", **bearer()}
    assert (await http.post("/v1/frames", content=jpeg(), headers=headers)).status_code == 200
    del headers["x-frame-participant"]
    assert (await http.post("/v1/frames", content=jpeg(), headers=headers)).status_code == 200
    search = {"query": "How much leave?", "user": "ann"}
    assert (await http.post("/v1/knowledge/search", json=search, headers=bearer())).status_code == 200
    rows = (await http.get("/v1/bill?by=participant&by=service", headers=ADMIN)).json()["rows"]
    assert {(row["group"]["participant"], row["group"]["service"]): row["requests"] for row in rows} == {
        ("Zoë\n", "vision"): 1,
        ("", "vision"): 1,
        ("ann", "embeddings"): 1,
    }


async def test_no_text_of_a_person_stops_the_journal(http: httpx.AsyncClient, bearer: Bearer) -> None:
    frame = {"content-type": "image/jpeg", **bearer()}
    for name in ("%ff%fe%ED%A0%80", "%00", "%", "a" * 1_000):
        sent = await http.post("/v1/frames", content=jpeg(), headers=frame | {"x-frame-participant": name})
        assert sent.status_code == 200, name
    body = json.dumps({"messages": HELLO, "user": "\ud800"})
    assert (await http.post("/v1/chat/completions", content=body, headers=bearer())).status_code in (200, 400)
    rows = await bill(http, by="participant")
    assert {"\ufffd" * 5, "\0", "%", "a" * 256} <= {row["group"]["participant"] for row in rows}


async def test_a_long_name_is_cut_and_a_stream_has_its_person_too(http: httpx.AsyncClient, bearer: Bearer) -> None:
    body = {"messages": HELLO, "user": "a" * 1_000, "stream": True}
    assert (await http.post("/v1/chat/completions", json=body, headers=bearer())).status_code == 200
    (row,) = await bill(http, by="participant")
    assert row["group"]["participant"] == "a" * 256


async def test_speech_is_on_the_bill_of_its_room_and_its_speaker(http: httpx.AsyncClient, bearer: Bearer) -> None:
    usage = {"usage": [stt_usage("u1", 60_000), stt_usage("u2", 1)], "participants": {"u1": "ann"}}
    beaten = await http.post("/v1/rooms/tenant_acme_standup/heartbeat", json=usage, headers=bearer())
    assert beaten.status_code == 200, beaten.text
    rows = (await http.get("/v1/bill?by=room&by=service", headers=ADMIN)).json()["rows"]
    assert [row["group"] for row in rows] == [{"room": "tenant_acme_standup", "service": "stt"}]
    assert rows[0]["usage"] == {"audio_ms": 60_001} and rows[0]["cost_nanousd"] > 0
    people = await bill(http, by="participant")
    assert {row["group"]["participant"]: row["usage"] for row in people} == {
        "": {"audio_ms": 1},
        "ann": {"audio_ms": 60_000},
    }


async def test_only_an_admin_key_opens_the_bill(http: httpx.AsyncClient, bearer: Bearer) -> None:
    assert [(await http.get("/v1/bill", headers=one)).status_code for one in ({}, AGENT, bearer(), ADMIN)] == [
        *(401, 401, 401, 200)
    ]


async def test_the_days_of_a_tenant_are_those_of_its_time_zone(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    sent = await http.post("/v1/chat/completions", json={"messages": HELLO}, headers=bearer())
    assert sent.status_code == 200
    one = (await http.get("/v1/bill?tenant=acme&by=day", headers=ADMIN)).json()
    assert one["time_zone"] == "UTC"
    with cluster.journal.transaction():
        cluster.journal.accounts.save({("acme", ""): Account(zone="Pacific/Kiritimati")})
    # Fourteen hours ahead, so that it is another day there from ten in the morning on.
    page = (await http.get("/v1/bill?tenant=acme&by=day", headers=ADMIN)).json()
    (event,) = await cluster.events()
    there = dt.datetime.fromtimestamp(float(str(event["booked_at_s"])), ZoneInfo("Pacific/Kiritimati")).date()
    assert page["time_zone"] == "Pacific/Kiritimati" and page["rows"][0]["group"]["day"] == there.isoformat()
    assert (await http.get("/v1/bill?by=day", headers=ADMIN)).json()["time_zone"] == "UTC"


async def test_an_unknown_tenant_is_an_error_and_one_without_costs_is_an_empty_bill(http: httpx.AsyncClient) -> None:
    unknown = await http.get("/v1/bill?tenant=akme", headers=ADMIN)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "tenant_not_found")
    assert (await http.get("/v1/bill?tenant=globex", headers=ADMIN)).json()["rows"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("by=colour", "by.0"),
        ("since=soon", "since"),
        ("since=2026-11-02&until=2026-11-02", "until"),
        ("cursor=zzz", "cursor"),
        ("tenant=", "tenant"),
        ("room=x", "room"),
    ],
)
async def test_a_wrong_parameter_is_named(http: httpx.AsyncClient, query: str, param: str) -> None:
    response = await http.get(f"/v1/bill?{query}", headers=ADMIN)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
