"""A room's heartbeats go on for as long as its job lives, whatever one of them met."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from livekit import rtc

from room_agent.core.router_client import HeartbeatResult, RouterClient
from room_agent.session import RoomSession
from tests.support.scripted_router import ScriptedRouter
from tests.support.stack import eventually

ROOM = "tenant_acme_standup"


class Unreadable(ScriptedRouter):
    """A router behind a proxy whose refusals say that they are packed, and are not."""

    def _refusal(self, status: int) -> web.Response:
        return web.Response(body=b"<html>bad gateway</html>", status=status, headers={"content-encoding": "gzip"})


class Faulty(RouterClient):
    """A client with a fault of ours at its first beat."""

    beats = 0

    async def beat(self, counters: Mapping[str, float], usage: Sequence[Mapping[str, Any]] = ()) -> HeartbeatResult:
        self.beats += 1
        if self.beats == 1:
            raise IndexError
        return await super().beat(counters, usage)


@asynccontextmanager
async def attended(url: str, kind: type[RouterClient] = RouterClient) -> AsyncIterator[RoomSession]:
    client = kind(url, "agent-key", ROOM, "job-1", "{}")
    attendance = RoomSession(rtc.Room(), client, max_tracks=1)
    attendance.start()
    yield attendance
    await attendance.aclose()
    await client.aclose()


async def test_heartbeats_go_on_after_an_answer_that_cannot_be_read() -> None:
    router = Unreadable()
    router.beat_statuses.append(502)
    async with router.running(), attended(router.url):
        await eventually(lambda: len(router.beats) > 2)
    assert not router.beat_statuses and router.closed == 1


async def test_heartbeats_go_on_after_a_fault_of_ours() -> None:
    async with ScriptedRouter().running() as router, attended(router.url, Faulty):
        await eventually(lambda: len(router.beats) > 2)


async def test_heartbeats_go_on_in_a_room_that_cannot_be_followed() -> None:
    async with ScriptedRouter().running() as router, attended(router.url) as attendance:
        attendance._videos = None  # type: ignore[assignment, method-assign]
        await eventually(lambda: len(router.beats) > 2)
