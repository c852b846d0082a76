"""A frame's walk through the router passes each file once: counted from the ASGI route to the vendor and back."""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from pathlib import Path

import httpx

from deployments.gateway.service import Gateway
from deployments.routes import build_routes
from room_agent.core.counters import Counters
from room_agent.core.models import SharedTrack
from room_agent.core.router_client import RouterClient
from room_agent.video.events import FrameEvents
from room_agent.video.frame_gate import FrameGate, pack_frame
from room_agent.video.rate_control import RateControl
from room_agent.video.uploader import FrameUploader
from routing.errors import ProviderOverloaded
from routing.retry import FailedAttempt, RetrySettings, next_step
from tests.support.asgi_transport import AsgiTransport
from tests.support.credentials import FRAME_HEADERS, room_token
from tests.support.gateway import KEYS, gateway_in_process, jpeg
from tests.support.screens import slide
from tests.support.walk import Walk, counted_walk

MOST_TOUCHED, MOST_RETURNS = 49, 12
MOST_TOUCHED_WHOLE, MOST_CALLS_BACK_WHOLE = 71, 148
MOST_FILES_WHOLE, MOST_RETURNS_WHOLE = 12, 13
TRACK = SharedTrack(sid="TR_1", source="screen_share", shared_by="Ann", identity="ann")
FILES = [
    "deployments/api/app.py",
    "deployments/routes.py",
    "deployments/gateway/service.py",
    "deployments/gateway/attempts.py",
    "deployments/gateway/failover.py",
    "deployments/gateway/metering.py",
    "cluster/costs/commit_log.py",
    "deployments/model_replica.py",
    "deployments/providers/simulated.py",
]


async def frame_walk(path: Path) -> Walk:
    """Return the walk of a second frame: the first one verifies the token and fills the caches."""
    headers = {"authorization": f"Bearer {room_token()}", **FRAME_HEADERS}
    async with gateway_in_process(path) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
            await client.post("/v1/frames", content=jpeg(), headers=headers)
            with counted_walk() as walk:
                response = await client.post("/v1/frames", content=jpeg(), headers=headers)
    assert response.status_code == 200
    return walk


async def test_a_frame_passes_each_file_of_the_router_once(tmp_path: Path) -> None:
    walk = await frame_walk(tmp_path)
    assert walk.files == FILES
    assert len(walk.returns) <= MOST_RETURNS, walk.returns
    assert len(walk.touched) <= MOST_TOUCHED, walk.touched


async def whole_walk(path: Path) -> Walk:
    """Return the walk of a frame from the room agent's gate to the simulated vendor and back, in this thread."""
    walk = Walk()
    async with gateway_in_process(path) as (gateway, _):
        client = await opened_client(gateway)
        # The first frame verifies the token and fills the caches.
        for counted in (False, True):
            gate, events = FrameGate(), FrameEvents()
            uploader = FrameUploader(TRACK, client, RateControl(1.0), Counters(), events, gate.forget, time.monotonic)
            planes = slide("Walk", ("one", "two"))
            with counted_walk() if counted else nullcontext(walk) as walk:
                uploader.offer(pack_frame(planes, gate.offer(planes, 0.0), TRACK.sid, TRACK.source, 640, time.time()))
                uploader.end()
                await uploader.run()
    return walk


async def opened_client(gateway: Gateway) -> RouterClient:
    """Return a room agent's client whose requests reach the gateway's routes without a socket."""
    transport = AsgiTransport(build_routes(gateway))
    client = RouterClient(transport, KEYS.agent[0], "tenant_acme_standup", "job-1", '{"tenant_id": "acme"}')
    await client.open()
    return client


async def test_a_frame_passes_each_file_from_the_gate_to_the_vendor_once(tmp_path: Path) -> None:
    walk = await whole_walk(tmp_path)
    assert [file for file in walk.files if file.startswith("deployments/gateway")] == FILES[2:6]
    assert len(walk.touched) <= MOST_TOUCHED_WHOLE, walk.touched
    assert len(walk.calls_back) <= MOST_CALLS_BACK_WHOLE, walk.calls_back
    assert len(walk.files) <= MOST_FILES_WHOLE, walk.files
    assert len(walk.returns) <= MOST_RETURNS_WHOLE, walk.returns


def test_a_call_back_into_a_file_that_was_left_is_counted() -> None:
    failed = FailedAttempt(error=ProviderOverloaded(), tries=1, targets_left=1, left_s=9.0)
    settings, rng = RetrySettings(), random.Random(1)
    with counted_walk() as walk:
        for _ in range(2):
            next_step(failed, settings, rng)
    # The second call comes from here; `next_step` calls other functions of its own file.
    assert walk.touched == ["routing/retry.py"] and walk.calls_back == [("", "routing/retry.py")]
    assert walk.files == [] and walk.returns == []
