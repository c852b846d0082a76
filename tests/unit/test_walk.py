"""A frame's walk through the router passes each file once: counted from the ASGI route to the vendor and back."""

from __future__ import annotations

from pathlib import Path

import httpx

from deployments.routes import build_routes
from routing.retry import Deadline
from tests.support.credentials import FRAME_HEADERS, room_token
from tests.support.gateway import gateway_in_process, jpeg
from tests.support.walk import Walk, counted_walk

MOST_TOUCHED, MOST_RETURNS = 25, 11
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


def test_a_call_back_into_a_file_that_was_left_is_counted() -> None:
    with counted_walk() as walk:
        Deadline.after(1.0, 0.0).allows(0.5, 0.0)
    # `allows` is called from here, and `remaining_s` from within its file.
    assert walk.touched == ["routing/retry.py"] and walk.calls_back == [("", "routing/retry.py")]
    assert walk.files == [] and walk.returns == []
