"""A frame may be JSON: the whole screen with its changed parts and its last description."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.support.credentials import Bearer
from tests.support.gateway import KEYS, InProcessCluster, jpeg

URL = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
PART = {"image": URL, "box": [10, 20, 650, 380]}


async def test_a_frame_with_parts_is_described_and_each_picture_is_paid_for(
    http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    for body in ({"image": URL}, {"image": URL, "crops": [PART, PART], "screen": [1920, 1080]}):
        response = await http.post("/v1/frames", json=body, headers=bearer())
        assert response.status_code == 200 and response.json()["description"]
    whole, with_parts = await cluster.events()
    assert int(str(with_parts["cost_nanousd"])) > int(str(whole["cost_nanousd"])) > 0


BAD_BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing to see": ({}, "body"),
    "an image elsewhere": ({"image": "https://example.com/a.jpg"}, "image"),
    "a part elsewhere": ({"image": URL, "crops": [PART | {"image": "x"}]}, "crops.0.image"),
    "a box inside out": ({"image": URL, "crops": [PART | {"box": [9, 9, 1, 1]}]}, "crops.0.box"),
    "a box of three": ({"image": URL, "crops": [PART | {"box": [1, 2, 3]}]}, "crops.0.box.3"),
    "five parts": ({"image": URL, "crops": [PART] * 5}, "crops"),
    "another field": ({"image": URL, "colour": "red"}, "colour"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_wrong_body_is_refused_by_name_and_costs_nothing(
    name: str, http: httpx.AsyncClient, bearer: Bearer, cluster: InProcessCluster
) -> None:
    body, param = BAD_BODIES[name]
    response = await http.post("/v1/frames", json=body, headers=bearer())
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert await cluster.events() == []


async def test_an_agent_learns_how_the_first_model_counts_images(http: httpx.AsyncClient) -> None:
    opening = {"room": "tenant_acme_standup", "job_id": "job-1", "metadata": json.dumps({"tenant_id": "acme"})}
    response = await http.post("/v1/rooms", json=opening, headers={"authorization": f"Bearer {KEYS.agent[0]}"})
    assert response.json()["limits"]["image_tokens"]["rule"] in ("patches", "tiles", "fixed")
