"""A synthetic room's client reads the cost, the vendor's time and the first text from the router's answers."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from cluster.lab.load.timed_client import TimedRouterClient, connected, turned_away
from room_agent.core.router_errors import RouterAway, RouterError, RouterRefused

FRAME = {"description": "a slide", "model": "m", "tier": "simple", "cost_nanousd": 7, "simulated": True}
TEXT = b'data: {"choices": [{"delta": {"content": "It says 42."}}]}\n\n'
COST = b'data: {"choices": [], "rayroom": {"cost_nanousd": 9, "tier": "simple"}}\n\n'
DONE = b"data: [DONE]\n\n"


class TimedRouter:
    """A router that gives one answer, with a vendor's time, and counts its connections."""

    def __init__(self) -> None:
        self.answer = web.Response()
        self.connections: set[object] = set()

    def stream(self, *events: bytes) -> None:
        self.answer = web.Response(body=b": hello\n\n" + b"".join(events), content_type="text/event-stream")

    async def respond(self, request: web.Request) -> web.Response:
        await request.read()
        self.connections.add(request.transport)
        self.answer.headers["server-timing"] = "vendor;dur=1250.0"
        return self.answer


@pytest.fixture
def router() -> TimedRouter:
    return TimedRouter()


@pytest.fixture
async def client(router: TimedRouter) -> AsyncIterator[TimedRouterClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", router.respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ticks = itertools.count(1.0)
    async with connected(f"http://127.0.0.1:{runner.addresses[0][1]}") as transport:
        yield TimedRouterClient(transport, "agent-key", "tenant_acme_m", "job-1", "acme", lambda: next(ticks))
    await runner.cleanup()


@pytest.mark.parametrize(("usage", "tokens"), [({"completion_tokens": 21}, 21), (None, 0)])
async def test_a_description_has_its_cost_its_tokens_and_the_vendors_time(
    router: TimedRouter, client: TimedRouterClient, usage: dict[str, int] | None, tokens: int
) -> None:
    router.answer = web.json_response(FRAME | {"usage": usage})
    answer = await client.describe_timed(b"jpeg", {})
    assert (answer.cost_nanousd, answer.output_tokens, answer.vendor_s) == (7, tokens, 1.25)


async def test_a_streamed_answer_is_timed_by_its_first_event_and_keeps_the_connection(
    router: TimedRouter, client: TimedRouterClient
) -> None:
    for first_at_s in (1.0, 2.0):
        router.stream(TEXT, COST, DONE)
        answer = await client.ask("What is on the screen?")
        assert (answer.cost_nanousd, answer.vendor_s, answer.first_at_s) == (9, 1.25, first_at_s)
    assert len(router.connections) == 1


@pytest.mark.parametrize(
    ("events", "kind"), [((TEXT, COST), RouterAway), ((TEXT, DONE), RouterRefused), ((), RouterAway)]
)
async def test_a_stream_without_its_marker_or_its_cost_is_no_answer(
    router: TimedRouter, client: TimedRouterClient, events: tuple[bytes, ...], kind: type[RouterError]
) -> None:
    router.stream(*events)
    with pytest.raises(kind) as failed:
        await client.ask("What is on the screen?")
    assert not turned_away(failed.value)


@pytest.mark.parametrize(("status", "away"), [(402, True), (429, True), (503, True), (500, False), (401, False)])
async def test_a_refused_question_was_turned_away_where_the_app_sheds(
    router: TimedRouter, client: TimedRouterClient, status: int, away: bool
) -> None:
    router.answer = web.json_response({"error": {"code": "scripted"}}, status=status)
    with pytest.raises(RouterError, match=f"{status} scripted") as failed:
        await client.ask("What is on the screen?")
    assert failed.value.http_status == status and turned_away(failed.value) is away
