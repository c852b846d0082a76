"""The router's answers, refusals and timeouts become typed results and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from room_agent.conversation.llm import RouterLlm
from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterAway, RouterBusy, RouterError, RouterRefused, TokenExpired
from room_agent.core.router_transport import HttpTransport
from tests.support.scripted_router import ScriptedRouter

ROOM = "tenant_acme_standup"


@pytest.fixture
async def router() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter().running() as router:
        yield router


@pytest.fixture
async def client(router: ScriptedRouter) -> AsyncIterator[RouterClient]:
    transport = HttpTransport(router.url)
    client = RouterClient(transport, "agent-key", ROOM, "job-1", '{"tenant_id": "acme"}')
    await client.open()
    yield client
    await transport.aclose()


async def test_a_room_is_opened_described_kept_alive_and_closed(router: ScriptedRouter, client: RouterClient) -> None:
    opened = await client.open()
    description = await client.describe(b"jpeg", {"x-frame-track": "TR_1"})
    await client.beat({"frames_seen": 3})
    await client.close()
    assert opened.simulated and opened.limits.image_long_side_px == 640
    assert (description.description, description.cost_nanousd, description.tier) == ("a slide", 7, "simple")
    assert router.frames[0]["x-frame-track"] == "TR_1" and router.tokens == ["Bearer token-2"]
    assert router.heartbeats == [{"frames_seen": 3}] and router.closed == 1


@pytest.mark.parametrize("takes_participants", [True, False])
async def test_frames_and_searches_name_their_participant_where_the_router_takes_it(
    router: ScriptedRouter, client: RouterClient, takes_participants: bool
) -> None:
    router.takes_participants = takes_participants
    await client.open()
    await client.describe(b"jpeg", {"x-frame-track": "TR_1"}, None, "Zoë %20\r\nx: y")
    await client.search("how much leave", 5, 1.0, "Zoë")
    named = router.frames[0].get("x-frame-participant")
    assert named == ("Zo%C3%AB%20%2520%0D%0Ax%3A%20y" if takes_participants else None)
    assert router.search_requests[0].get("user") == ("Zoë" if takes_participants else None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, TokenExpired),
        (402, RouterBusy),
        (403, RouterRefused),
        (413, RouterRefused),
        (422, RouterRefused),
        (429, RouterBusy),
        (500, RouterBusy),
        (503, RouterBusy),
        (0, RouterRefused),
    ],
)
async def test_a_refusal_maps_to_an_error_by_its_status(
    router: ScriptedRouter, client: RouterClient, status: int, error: type[RouterError]
) -> None:
    router.statuses.append(status)
    with pytest.raises(error) as raised:
        await client.describe(b"jpeg", {})
    assert type(raised.value) is error


@pytest.mark.parametrize(("header", "retry_after_s"), [("3", 3.0), ("9999", 60.0), ("soon", None), ("-1", 0.0)])
async def test_the_retry_after_header_is_parsed_and_bounded(
    router: ScriptedRouter, client: RouterClient, header: str, retry_after_s: float | None
) -> None:
    router.statuses.append(503)
    router.retry_after_s = header
    with pytest.raises(RouterBusy) as raised:
        await client.describe(b"jpeg", {})
    assert raised.value.retry_after_s == retry_after_s


async def test_a_reply_that_cannot_be_decompressed_means_the_router_is_away(
    router: ScriptedRouter, client: RouterClient
) -> None:
    def corrupt_response(status: int) -> web.Response:
        return web.Response(body=b"<html>no</html>", status=status, headers={"content-encoding": "gzip"})

    router._refusal = corrupt_response  # type: ignore[method-assign]
    router.heartbeat_statuses.append(502)
    with pytest.raises(RouterAway):
        await client.beat({})


async def test_a_redirect_is_refused_and_its_target_never_receives_the_credential(
    router: ScriptedRouter, client: RouterClient
) -> None:
    def redirect(status: int) -> web.Response:
        return web.Response(status=status, headers={"location": f"{router.url}/v1/frames"})

    router._refusal = redirect  # type: ignore[method-assign]
    router.heartbeat_statuses.append(307)
    with pytest.raises(RouterRefused) as refused:
        await client.beat({})
    assert refused.value.http_status == 307 and router.tokens == []


async def test_a_token_that_no_header_can_hold_means_the_router_is_away(client: RouterClient) -> None:
    client._token = "two\r\nlines"
    with pytest.raises(RouterAway) as away:
        await client.describe(b"jpeg", {})
    assert "lines" not in str(away.value) and away.value.__cause__ is None and away.value.http_status is None


async def test_an_unreachable_router_is_away() -> None:
    transport = HttpTransport("http://127.0.0.1:9")
    with pytest.raises(RouterAway):
        await RouterClient(transport, "agent-key", ROOM, "job-1", "{}").open()
    await transport.aclose()


async def test_a_chat_names_the_participant_that_its_answer_is_for(
    router: ScriptedRouter, client: RouterClient
) -> None:
    llm = RouterLlm(client, router.url)
    for participant in ("ann", ""):
        assert [words async for words in llm.answer([{"role": "user", "content": "Hello?"}], participant=participant)]
    await llm.aclose()
    assert [request.get("user") for request in router.chat_requests] == ["ann", None]


@pytest.mark.parametrize("takes_participants", [True, False])
async def test_a_heartbeat_names_the_speakers_to_a_router_that_takes_them(
    router: ScriptedRouter, client: RouterClient, takes_participants: bool
) -> None:
    router.takes_participants = takes_participants
    await client.open()
    events = [{"id": "a", "participant": "ann", "audio_ms": 5}, {"id": "b", "participant": "", "characters": 5}]
    await client.beat({}, events)
    assert router.usage == [{"id": "a", "audio_ms": 5}, {"id": "b", "characters": 5}]
    assert router.participants == [{"a": "ann"} if takes_participants else None]
