"""A room session in this process, in a real room, with a scripted router that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from livekit import rtc

from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.frames.i420 import Planes
from room_agent.session import RoomSession
from room_agent.video.frame_gate import GateDecision
from room_agent.video.recorder import FrameRecorder
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.screen_share_participant import ScreenShareParticipant, joined_with_screen
from tests.support.scripted_router import ScriptedRouter

ROOM = "tenant_acme_session"


@asynccontextmanager
async def attended_room(
    livekit: LiveKit, router_url: str, recording: FrameRecorder | None = None
) -> AsyncIterator[tuple[RoomSession, ScreenShareParticipant]]:
    """Yield a session in the room, and a participant that already shares a screen."""
    room = rtc.Room()
    transport = HttpTransport(router_url)
    client = RouterClient(transport, "agent-key", ROOM, "job-1", "{}")
    async with joined_with_screen(livekit, ROOM) as ann:
        await ann.share_screen()
        await room.connect(livekit.url, livekit.token(ROOM, "agent"), rtc.RoomOptions(auto_subscribe=False))
        session = RoomSession(room, client, max_tracks=4, recording=recording)
        session.start()
        try:
            yield session, ann
        finally:
            await session.aclose()
            await transport.aclose()
            await room.disconnect()


async def test_a_slide_is_kept_sent_described_and_recorded(livekit: LiveKit, tmp_path: Path) -> None:
    async with (
        ScriptedRouter().running() as router,
        attended_room(livekit, router.url, FrameRecorder(tmp_path, ROOM)) as (session, ann),
    ):
        await eventually(lambda: ann.descriptions)
        headers = router.frames[0]
        assert headers["Content-Type"] == "image/jpeg" and headers["x-frame-source"] == "screen_share"
        assert len(headers["x-frame-phash"]) == 16 and 0 < float(headers["x-frame-text-density"]) <= 1
        assert ann.descriptions[0].text == "a slide" and ann.descriptions[0].attributes["cost_nanousd"] == "7"
        assert (tmp_path / ROOM / "00001.jpeg").read_bytes().startswith(b"\xff\xd8")
    assert router.closed == 1 and router.heartbeats[-1]["frames_kept"] == session.counters.frames_kept > 0


async def test_a_busy_router_gets_fewer_frames_and_the_lost_slide_again(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.statuses.extend([503, 429, 500])
    async with router.running(), attended_room(livekit, router.url) as (session, ann):
        # Nothing on the screen changes: the slide is sent again only because it was lost.
        await eventually(lambda: ann.descriptions)
        assert session.counters.frames_shed >= 3 and session.counters.answers >= 1


async def test_a_slide_that_ends_before_its_response_is_still_described(livekit: LiveKit) -> None:
    async with ScriptedRouter().running() as router, attended_room(livekit, router.url) as (session, ann):
        router.may_describe.clear()
        await eventually(lambda: session.counters.frames_kept)
        await ann.stop_sharing()
        await eventually(lambda: session.counters.tracks_watched == 0)
        assert not ann.descriptions
        router.may_describe.set()
        await eventually(lambda: ann.descriptions)


async def test_a_retry_after_is_respected(livekit: LiveKit) -> None:
    router = ScriptedRouter(retry_after_s="2")
    router.statuses.extend([503])
    async with router.running(), attended_room(livekit, router.url) as (session, ann):
        await eventually(lambda: len(router.tokens) == 1)
        refused_s = asyncio.get_running_loop().time()
        await eventually(lambda: ann.descriptions)
        assert asyncio.get_running_loop().time() - refused_s >= 1.5
        assert session.counters.frames_shed > 1


async def test_a_router_is_used_again_after_an_outage(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    async with router.running():
        port = router.port
    async with attended_room(livekit, router.url) as (session, ann):
        await asyncio.sleep(1.0)
        assert session.counters.frames_seen == 0
        async with router.running():
            await eventually(lambda: ann.descriptions)
        ann.slide, before = 2, len(ann.descriptions)
        await eventually(lambda: session.counters.frames_shed > 0)
        async with router.running():
            await eventually(lambda: len(ann.descriptions) > before)
        assert router.port == port


async def test_an_expired_token_opens_the_room_again(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.statuses.extend([401])
    router.heartbeat_statuses.extend([401])
    async with router.running(), attended_room(livekit, router.url) as (_, ann):
        await eventually(lambda: ann.descriptions and router.opened >= 3)
        assert router.tokens[-1] == f"Bearer token-{router.opened}" != router.tokens[0]


async def test_a_refused_room_is_not_sampled(livekit: LiveKit) -> None:
    router = ScriptedRouter()
    router.open_statuses.extend([403] * 100)
    async with router.running(), attended_room(livekit, router.url) as (session, _):
        await asyncio.sleep(1.5)
        assert session.counters.frames_seen == 0 and router.frames == []


async def test_the_pixels_are_processed_off_the_event_loop(livekit: LiveKit) -> None:
    loop_thread = threading.get_ident()
    thread_ids: set[int] = set()
    async with ScriptedRouter().running() as router, attended_room(livekit, router.url) as (session, ann):
        await eventually(lambda: ann.descriptions)
        (sampled,) = session._tracks._sampled.values()
        frame = cast(Coroutine[Any, Any, None], sampled.sampling.get_coro()).cr_frame  # type: ignore[attr-defined]
        gate = frame.f_locals["self"]._pipeline.gate
        offer = gate.offer

        def recording_offer(planes: Planes, now_s: float) -> GateDecision:
            thread_ids.add(threading.get_ident())
            return cast(GateDecision, offer(planes, now_s))

        gate.offer = recording_offer
        await eventually(lambda: thread_ids)
    assert loop_thread not in thread_ids
