"""Another tenant's token, room or metadata gives access to nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.credentials import FRAME_HEADERS
from tests.support.gateway import jpeg
from tests.support.meeting import dispatch
from tests.support.screen_share_participant import joined_with_screen
from tests.support.stack import Stack


@pytest.mark.parametrize(
    ("room", "metadata"),
    [
        ("tenant_acme_intruded", {"tenant_id": "globex"}),
        ("tenant_acme_bare", ""),
        ("lobby", {"tenant_id": "acme"}),
        ("tenant_ac_me_x", {"tenant_id": "ac_me"}),
    ],
)
async def test_a_dispatch_with_metadata_of_another_tenant_is_rejected(
    stack: Stack, room: str, metadata: dict[str, str] | str
) -> None:
    refused_before = stack.log("agent").count("job refused")
    async with joined_with_screen(stack.livekit, room) as ann:
        await ann.share_screen()
        await dispatch(stack.livekit, room, metadata)
        async with asyncio.timeout(60):
            while stack.log("agent").count("job refused") == refused_before:
                await asyncio.sleep(0.1)
        assert ann.agents() == [] and ann.descriptions == []


async def test_an_unknown_or_suspended_tenant_cannot_open_a_room(stack: Stack) -> None:
    async with stack.http(stack.plan.agent_key) as http:
        for tenant, status in (("nobody", 404), ("initech", 403)):
            body = {"room": f"tenant_{tenant}_x", "job_id": "j", "metadata": f'{{"tenant_id": "{tenant}"}}'}
            assert (await http.post("/v1/rooms", json=body)).status_code == status


async def test_a_rooms_token_gives_no_access_to_another_tenant(stack: Stack) -> None:
    token = await stack.open_room("tenant_globex_tokens")
    before = (await stack.usage("acme"))["settled_nanousd"]
    async with stack.http(token) as http:
        assert (await http.post("/v1/rooms/tenant_acme_x/heartbeat", json={})).status_code == 403
        assert (await http.delete("/v1/rooms/tenant_acme_x")).status_code == 403
        assert (await http.get("/v1/tenants/acme/usage")).status_code == 401
        answer = await http.post("/v1/frames", content=jpeg(), headers={**FRAME_HEADERS, "x-tenant": "acme"})
    assert answer.status_code == 200
    assert (await stack.usage("acme"))["settled_nanousd"] == before


async def test_no_log_holds_a_key_a_token_a_question_or_an_answer(stack: Stack) -> None:
    token = await stack.open_room("tenant_acme_secret")
    async with stack.http(token) as http:
        body = {"messages": [{"role": "user", "content": "the launch code is 7291"}], "model": "auto"}
        answer = (await http.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
    logs = "".join(path.read_text("utf-8", "replace") for path in (stack.plan.directory / "logs").iterdir())
    ray_logs = "".join(path.read_text("utf-8", "replace") for path in stack.plan.temp.rglob("*.log"))
    secrets = (stack.plan.agent_key, stack.plan.admin_key, stack.plan.token_secret, stack.plan.backend_key, token)
    assert len(logs) > 100 and len(ray_logs) > 100
    assert [secret for secret in (*secrets, "7291", answer) if secret in logs or secret in ray_logs] == []
