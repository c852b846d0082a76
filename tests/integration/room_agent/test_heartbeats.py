"""A room's heartbeats continue until its job ends, even after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from livekit import rtc

from room_agent.core.router_client import HeartbeatResult, RoomLimits, RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.session import RoomSession
from tests.support.eventually import eventually
from tests.support.scripted_router import ScriptedRouter

ROOM = "tenant_acme_standup"


class UnreadableRouter(ScriptedRouter):
    """A router behind a proxy with broken refusals: declared as gzip, sent as plain text."""

    def _refusal(self, status: int) -> web.Response:
        return web.Response(body=b"<html>bad gateway</html>", status=status, headers={"content-encoding": "gzip"})


class FaultyClient(RouterClient):
    """A client with a programming error in its first heartbeat."""

    calls = 0

    async def beat(self, counters: Mapping[str, float], usage: Sequence[Mapping[str, Any]] = ()) -> HeartbeatResult:
        self.calls += 1
        if self.calls == 1:
            raise IndexError
        return await super().beat(counters, usage)


@asynccontextmanager
async def running_session(url: str, client_class: type[RouterClient] = RouterClient) -> AsyncIterator[RoomSession]:
    transport = HttpTransport(url)
    client = client_class(transport, "agent-key", ROOM, "job-1", "{}")
    session = RoomSession(rtc.Room(), client, max_tracks=1)
    session.start()
    yield session
    await session.aclose()
    await transport.aclose()


async def test_heartbeats_continue_after_an_unreadable_reply() -> None:
    router = UnreadableRouter()
    router.heartbeat_statuses.append(502)
    async with router.running(), running_session(router.url):
        await eventually(lambda: len(router.heartbeats) > 2)
    assert not router.heartbeat_statuses and router.closed == 1


async def test_heartbeats_continue_after_a_programming_error() -> None:
    async with ScriptedRouter().running() as router, running_session(router.url, FaultyClient):
        await eventually(lambda: len(router.heartbeats) > 2)


async def test_heartbeats_continue_after_a_failure_to_handle_room_events(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[RoomLimits] = []

    def fail(limits: RoomLimits, sources: frozenset[str]) -> None:
        failures.append(limits)
        raise IndexError

    async with ScriptedRouter().running() as router, running_session(router.url) as session:
        monkeypatch.setattr(session._tracks, "follow", fail)
        await eventually(lambda: len(router.heartbeats) > 2)
    assert len(failures) >= 2
