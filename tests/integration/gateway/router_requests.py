"""The keys of requests at the router, the body that opens a room, and the error of a response."""

from __future__ import annotations

import json

import httpx

from tests.support.gateway import KEYS

ADMIN = {"authorization": f"Bearer {KEYS.admin[0]}"}
AGENT = {"authorization": f"Bearer {KEYS.agent[0]}"}


def opening(room: str = "tenant_acme_standup", tenant: str = "acme") -> dict[str, str]:
    return {"room": room, "job_id": "job-1", "metadata": json.dumps({"tenant_id": tenant})}


def error_of(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "code", "param"}
    return response.status_code, error["code"], error["param"]
