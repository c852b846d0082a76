"""A real receiver gets each message signed, and only its 2xx accepts one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cluster.backend.webhook import Webhook
from routing.errors import BackendUnavailable
from tests.support.canned_server import canned_server

KEY = b"k" * 24


async def verify(request: web.Request) -> web.Response:
    """Accept a message whose signature is the key's, as the specification has a receiver do."""
    message_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = f"{message_id}.{timestamp}.".encode() + await request.read()
    signature = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    return web.Response(status=204 if request.headers["webhook-signature"] == f"v1,{signature}" else 401)


async def test_a_receiver_verifies_the_signature() -> None:
    app = web.Application()
    app.router.add_post("/hook", verify)
    async with TestServer(app) as server:
        genuine, forged = (Webhook(str(server.make_url("/hook")), key) for key in (KEY, b"x" * 24))
        await genuine.deliver("m1", {"type": "budget.threshold_reached"}, 1_000.0)
        with pytest.raises(BackendUnavailable, match="answered 401"):
            await forged.deliver("m1", {"type": "budget.threshold_reached"}, 1_000.0)
        await genuine.aclose()
        await forged.aclose()


@pytest.mark.parametrize("changes", [{"status": 500}, {"status": 302}, {"delay_s": 5.0}])
async def test_any_other_answer_or_none_in_time_is_a_failure(changes: dict[str, Any]) -> None:
    async with canned_server("/hook", **changes) as server:
        webhook = Webhook(f"{server.url}/hook", KEY, timeout_s=0.2)
        with pytest.raises(BackendUnavailable, match=r"The webhook (answered|did not answer)"):
            await webhook.deliver("m1", {}, 1_000.0)
        await webhook.aclose()


async def test_an_unreachable_receiver_is_a_failure() -> None:
    webhook = Webhook("http://127.0.0.1:1/hook", KEY)
    with pytest.raises(BackendUnavailable, match="ConnectError"):
        await webhook.deliver("m1", {}, 1_000.0)
    await webhook.aclose()
