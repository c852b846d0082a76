"""Events are parsed however the bytes are split, and events before an error are delivered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from deployments.providers import openai_http
from deployments.providers.openai_http import OpenAICompatibleHttp, Refused

EVENTS = b': hello\r\n\r\ndata: {"n": 1}\r\n\r\ndata:{"n": 2}\n\nevent: x\ndata: {"n": "\xc3\xa9"}\n\ndata: [DONE]\n\n'


@dataclass
class Server:
    """Sends the given pieces one by one, each as a write of its own."""

    pieces: list[bytes] = field(default_factory=list)
    ends: bool = True
    """Whether the answer ends after its pieces."""
    connections: set[Any] = field(default_factory=set)
    url: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self.connections.add(request.transport)
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        if not self.ends:
            await asyncio.Event().wait()
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    runner = web.ServerRunner(web.Server(server.answer, access_log=None, handler_cancellation=True))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/"
    yield server
    await runner.cleanup()


@pytest.fixture
async def wire(server: Server) -> AsyncIterator[OpenAICompatibleHttp]:
    wire = OpenAICompatibleHttp("k", server.url)
    yield wire
    await wire.aclose()


Receive = Callable[[OpenAICompatibleHttp, list[Any]], Awaitable[None]]


async def each_group(wire: OpenAICompatibleHttp, received: list[Any]) -> None:
    async for group in wire.events("/chat/completions", {}, 5.0):
        received += group


async def all_at_once(wire: OpenAICompatibleHttp, received: list[Any]) -> None:
    await wire.read("/chat/completions", {}, 5.0, received.extend)


BOTH = pytest.mark.parametrize("receive", [each_group, all_at_once])


@BOTH
@pytest.mark.parametrize("size", [1, 2, 7, len(EVENTS)])
async def test_events_are_found_however_their_bytes_are_cut(
    receive: Receive, size: int, server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces = [EVENTS[at : at + size] for at in range(0, len(EVENTS), size)]
    received: list[Any] = []
    await receive(wire, received)
    assert [event["n"] for event in received] == [1, 2, "é"]


@BOTH
async def test_a_last_event_needs_no_end_of_line(receive: Receive, server: Server, wire: OpenAICompatibleHttp) -> None:
    server.pieces = [b'data: {"n": 1}\n\ndata: {"n": 2}']
    received: list[Any] = []
    await receive(wire, received)
    assert received == [{"n": 1}, {"n": 2}]


@BOTH
async def test_events_before_an_error_are_delivered_and_the_error_waits_for_no_end(
    receive: Receive, server: Server, wire: OpenAICompatibleHttp
) -> None:
    error = b'data: {"error": {"code": "slow_down", "type": null}}\n\n'
    server.pieces, server.ends = [b'data: {"n": 1}\n\n' + error + b'data: {"n": 2}\n\n'], False
    received: list[Any] = []
    with pytest.raises(Refused) as refused:
        async with asyncio.timeout(5.0):
            await receive(wire, received)
    assert received == [{"n": 1}]
    assert refused.value.reply.codes == ("slow_down", None) and refused.value.reply.status is None


@BOTH
async def test_events_before_an_unreadable_one_are_delivered(
    receive: Receive, server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces = [b'data: {"n": 1}\n\ndata: {"n"\n\n']
    received: list[Any] = []
    with pytest.raises(ValueError):
        await receive(wire, received)
    assert received == [{"n": 1}]


async def test_events_that_arrived_before_the_reader_left_are_delivered(
    server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces, server.ends = [b'data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: {"n"'], False
    received: list[Any] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await all_at_once(wire, received)
    assert received == [{"n": 1}, {"n": 2}]


async def test_a_long_answer_is_parsed_in_parts(server: Server, wire: OpenAICompatibleHttp) -> None:
    server.pieces = [b'data: {"n": 1}\n\n' * 20_000]
    sizes: list[int] = []
    await wire.read("/chat/completions", {}, 5.0, lambda events: sizes.append(len(events)))
    assert sum(sizes) == 20_000 and max(sizes) < 20_000


async def test_an_event_without_an_end_is_refused_however_it_is_read(
    server: Server, wire: OpenAICompatibleHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_http, "MAX_EVENT_BYTES", 100_000)
    server.pieces, server.ends = [b"data: " + b"x" * 200_000], False
    for receive in (each_group, all_at_once):
        with pytest.raises(ValueError):
            async with asyncio.timeout(5.0):
                await receive(wire, [])


async def test_a_stream_read_to_its_end_leaves_its_connection_for_the_next(
    server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces = [EVENTS]
    for receive in (each_group, all_at_once, each_group):
        await receive(wire, [])
    assert len(server.connections) == 1


@pytest.mark.parametrize("body", [b"", b"[1]", b"<html>", b"\xff"])
async def test_an_answer_that_is_no_object_is_a_value_error(
    body: bytes, server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces = [body] if body else []
    with pytest.raises(ValueError):
        await wire.post("/chat/completions", {}, 5.0)
