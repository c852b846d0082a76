"""A room is watched again after its agent's job was killed, and while its worker is rolled."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from cluster.lab.stack.processes import Processes
from room_agent.worker import REGISTERED
from tests.acceptance.test_voice_job import room_job
from tests.support.dispatch import running_dispatch
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.screen_share_participant import joined_with_screen
from tests.support.scripted_router import ScriptedRouter

ROOM = "tenant_acme_watched"
COMMAND = (sys.executable, "-m", "room_agent", "start")


@pytest.mark.kills
async def test_a_room_is_watched_again_after_a_kill_and_during_a_roll_out(livekit: LiveKit, tmp_path: Path) -> None:
    async with (
        ScriptedRouter().running() as router,
        running_dispatch(livekit) as dispatch,
        Processes(tmp_path) as processes,
        joined_with_screen(livekit, ROOM) as ann,
    ):
        environment = {
            "LIVEKIT_URL": livekit.url,
            "LIVEKIT_API_KEY": livekit.key,
            "LIVEKIT_API_SECRET": livekit.secret,
            "RAYROOM_URL": router.url,
            "RAYROOM_AGENT_KEYS": "an-agent-key-of-tests",
            "RAYROOM_DISPATCH_URL": dispatch.url,
            "RAYROOM_ROOM_ISOLATION": "process",
            "NUM_CPUS": "1",
        }
        await ann.share_screen()
        old = await processes.start("old", COMMAND, environment)
        await eventually(lambda: "Bearer token-1" in router.tokens, 120.0)
        room_job(old.pid, router.port).kill()
        await eventually(lambda: "Bearer token-2" in router.tokens, 60.0)
        await eventually(lambda: len(ann.agents()) == 1, 60.0)
        assert router.closed == 0

        await ann.send_chat("By the way, the meeting on Friday is in room 4711.")
        await processes.start("new", COMMAND, environment | {"RAYROOM_ROOM_ISOLATION": "thread"})
        await eventually(lambda: processes.has_logged("new", REGISTERED), 120.0)
        old.send_signal(signal.SIGTERM)
        await eventually(lambda: "Bearer token-3" in router.tokens, 60.0)
        await eventually(lambda: router.closed == 1 and len(ann.agents()) == 1, 60.0)
        async with asyncio.timeout(60.0):
            assert await old.wait() == 0
        assert processes.has_logged("old", "successor watches")
        assert router.opened == 3
        # The successor was not there when this was said.
        await ann.send_chat("Rayroom, in which room is the meeting on Friday?")
        await eventually(lambda: router.chat_requests, 30.0)
        assert "4711" in json.dumps(router.chat_requests)
