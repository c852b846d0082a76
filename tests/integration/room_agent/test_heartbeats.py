"""A room's heartbeats continue for as long as its job lives, also after one of them failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from livekit import rtc

from room_agent.core.router_client import HeartbeatResult, RoomLimits, RouterClient
from room_agent.session import RoomSession
from tests.support.scripted_router import ScriptedRouter
from tests.support.stack import eventually

ROOM = "tenant_acme_standup"


class Unreadable(ScriptedRouter):
    """A router behind a proxy with broken refusals: declared as gzip, sent as plain text."""

    def _refusal(self, status: int) -> web.Response:
        return web.Response(body=b"<html>bad gateway</html>", status=status, headers={"content-encoding": "gzip"})


class Faulty(RouterClient):
    """A client with a programming error in its first heartbeat."""

    heartbeats = 0

    async def beat(self, counters: Mapping[str, float], usage: Sequence[Mapping[str, Any]] = ()) -> HeartbeatResult:
        self.heartbeats += 1
        if self.heartbeats == 1:
            raise IndexError
        return await super().beat(counters, usage)


@asynccontextmanager
async def attended(url: str, kind: type[RouterClient] = RouterClient) -> AsyncIterator[RoomSession]:
    client = kind(url, "agent-key", ROOM, "job-1", "{}")
    session = RoomSession(rtc.Room(), client, max_tracks=1)
    session.start()
    yield session
    await session.aclose()
    await client.aclose()


async def test_heartbeats_continue_after_a_reply_that_cannot_be_read() -> None:
    router = Unreadable()
    router.heartbeat_statuses.append(502)
    async with router.running(), attended(router.url):
        await eventually(lambda: len(router.heartbeats) > 2)
    assert not router.heartbeat_statuses and router.closed == 1


async def test_heartbeats_continue_after_a_programming_error() -> None:
    async with ScriptedRouter().running() as router, attended(router.url, Faulty):
        await eventually(lambda: len(router.heartbeats) > 2)


async def test_heartbeats_continue_in_a_room_that_cannot_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[RoomLimits] = []

    def fail(limits: RoomLimits) -> None:
        failures.append(limits)
        raise IndexError

    async with ScriptedRouter().running() as router, attended(router.url) as session:
        monkeypatch.setattr(session._tracks, "follow", fail)
        await eventually(lambda: len(router.heartbeats) > 2)
    assert len(failures) >= 2
