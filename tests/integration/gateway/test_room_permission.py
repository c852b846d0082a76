"""Over HTTP: which key opens which room, signed dispatches, and keys that are rotated while the gateway serves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from structlog.testing import capture_logs

from deployments.api.access.dispatch_signature import signed_metadata
from deployments.api.access.keys import Keys
from deployments.routes import build_routes
from routing.rooms import parse_room
from tests.support.gateway import KEYS, gateway_in_process

LIMITED = replace(KEYS, agent_tenants={KEYS.agent[1]: frozenset({"globex"})})
SECRET = "d" * 32


class RotatedKeys:
    """A source of keys that a test changes."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def current(self) -> Keys:
        return self.keys


@asynccontextmanager
async def client(path: Path, keys: RotatedKeys) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway_in_process(path, keys=keys) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            yield http


async def opened(http: httpx.AsyncClient, tenant: str, key: str, metadata: str | None = None) -> httpx.Response:
    body = {
        "room": f"tenant_{tenant}_standup",
        "job_id": "job-1",
        "metadata": metadata or f'{{"tenant_id": "{tenant}"}}',
    }
    return await http.post("/v1/rooms", json=body, headers={"authorization": f"Bearer {key}"})


async def beat(http: httpx.AsyncClient, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await http.post("/v1/rooms/tenant_acme_standup/heartbeat", json={}, headers=headers)).status_code


async def test_an_agent_key_opens_the_rooms_of_its_tenants_only(tmp_path: Path) -> None:
    async with client(tmp_path, RotatedKeys(LIMITED)) as http:
        refused = await opened(http, "acme", KEYS.agent[1])
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, "room")
        assert (await opened(http, "globex", KEYS.agent[1])).status_code == 200
        assert (await opened(http, "acme", KEYS.agent[0])).status_code == 200


async def test_with_a_dispatch_secret_a_room_needs_metadata_that_is_signed_for_it(tmp_path: Path) -> None:
    async with client(tmp_path, RotatedKeys(replace(KEYS, dispatch_secrets=(SECRET,)))) as http:
        plain = '{"tenant_id": "acme"}'
        now_s = time.time()
        signed = signed_metadata(plain, parse_room("tenant_acme_standup"), SECRET, now_s)
        copied = signed_metadata(plain, parse_room("tenant_acme_board"), SECRET, now_s)
        statuses = [(await opened(http, "acme", KEYS.agent[0], text)).status_code for text in (plain, copied, signed)]
        assert statuses == [401, 403, 200]


async def test_a_rotated_secret_needs_no_restart_and_two_are_valid_at_once(tmp_path: Path) -> None:
    source = RotatedKeys(KEYS)
    async with client(tmp_path, source) as http:
        old = (await opened(http, "acme", KEYS.agent[0])).json()["token"]
        source.keys = replace(KEYS, token_secret="n" * 32, former_token_secrets=(KEYS.token_secret,))
        new = (await opened(http, "acme", KEYS.agent[0])).json()["token"]
        assert [await beat(http, token) for token in (old, new)] == [200, 200]
        source.keys = replace(source.keys, former_token_secrets=())
        assert [await beat(http, token) for token in (old, new)] == [401, 200]
        source.keys = replace(source.keys, agent=("agent-key-of-tuesday",))
        assert (await opened(http, "acme", KEYS.agent[0])).status_code == 401
        assert (await opened(http, "acme", "agent-key-of-tuesday")).status_code == 200


async def test_a_closed_rooms_token_is_dead_and_its_refusal_is_no_secret_in_the_log(tmp_path: Path) -> None:
    async with client(tmp_path, RotatedKeys(KEYS)) as http:
        token = (await opened(http, "acme", KEYS.agent[0])).json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        assert (await http.delete("/v1/rooms/tenant_acme_standup", headers=headers)).status_code == 200
        assert await beat(http, token) == 401
        with capture_logs() as logs:
            assert await beat(http, "planted-token-of-a-guess") == 401
        assert [entry["credential"] for entry in logs] == ["room token"] and "planted" not in str(logs)
