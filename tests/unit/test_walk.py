from __future__ import annotations

from pathlib import Path

import httpx

from deployments.routes import build_routes
from tests.support.credentials import FRAME_HEADERS, room_token
from tests.support.gateway import gateway_in_process, jpeg
from tests.support.walk import counted_walk


async def test_a_frame(tmp_path: Path) -> None:
    headers = {"authorization": f"Bearer {room_token()}", **FRAME_HEADERS}
    async with gateway_in_process(tmp_path) as (gateway, _):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as client:
            await client.post("/v1/frames", content=jpeg(), headers=headers)
            with counted_walk() as walk:
                r = await client.post("/v1/frames", content=jpeg(), headers=headers)
    assert r.status_code == 200
    print(len(walk.files), len(walk.returns))
    print("\n".join(walk.files))
    from collections import Counter

    for k, v in Counter(walk.returns).most_common():
        print(v, k)
