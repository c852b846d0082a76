"""Events are parsed however the bytes are split, and events before an error are delivered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from deployments.providers.openai_http import OpenAICompatibleHttp, Refused

EVENTS = b': hello\r\n\r\ndata: {"n": 1}\r\n\r\ndata:{"n": 2}\n\nevent: x\ndata: {"n": "\xc3\xa9"}\n\ndata: [DONE]\n\n'


@dataclass
class Server:
    """Sends the given pieces one by one, each as a write of its own."""

    pieces: list[bytes] = field(default_factory=list)
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
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    runner = web.ServerRunner(web.Server(server.answer, access_log=None))
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


async def events(wire: OpenAICompatibleHttp) -> list[Any]:
    return [event["n"] async for group in wire.events("/chat/completions", {}, 5.0) for event in group]


@pytest.mark.parametrize("size", [1, 2, 7, len(EVENTS)])
async def test_events_are_found_however_their_bytes_are_cut(
    size: int, server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces = [EVENTS[at : at + size] for at in range(0, len(EVENTS), size)]
    assert await events(wire) == [1, 2, "é"]


async def test_a_last_event_needs_no_end_of_line(server: Server, wire: OpenAICompatibleHttp) -> None:
    server.pieces = [b'data: {"n": 1}\n\ndata: {"n": 2}']
    assert await events(wire) == [1, 2]


async def test_what_was_said_before_an_error_is_heard_first(server: Server, wire: OpenAICompatibleHttp) -> None:
    server.pieces = [b'data: {"n": 1}\n\ndata: {"error": {"code": "slow_down", "type": null}}\n\ndata: {"n": 2}\n\n']
    events = []
    with pytest.raises(Refused) as refused:
        async for group in wire.events("/chat/completions", {}, 5.0):
            events += group
    assert events == [{"n": 1}]
    assert refused.value.reply.codes == ("slow_down", None) and refused.value.reply.status is None


async def test_a_stream_read_to_its_end_leaves_its_connection_for_the_next(
    server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces = [EVENTS]
    for _ in range(3):
        await events(wire)
    assert len(server.connections) == 1


@pytest.mark.parametrize("body", [b"", b"[1]", b"<html>", b"\xff"])
async def test_an_answer_that_is_no_object_is_a_value_error(
    body: bytes, server: Server, wire: OpenAICompatibleHttp
) -> None:
    server.pieces = [body] if body else []
    with pytest.raises(ValueError):
        await wire.post("/chat/completions", {}, 5.0)
