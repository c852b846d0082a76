"""A job of the worker transcribes, answers, and is billed, whether it ends or is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from cluster.lab.emulator import Emulator
from cluster.lab.stack.processes import Processes
from room_agent.worker import REGISTERED
from tests.support.eventually import eventually
from tests.support.livekit_server import LiveKit
from tests.support.meeting import dispatch
from tests.support.scripted_router import ScriptedRouter
from tests.support.speaking_participant import joined


def worker_environment(livekit: LiveKit, router: ScriptedRouter, emulator: Emulator, directory: Path) -> dict[str, str]:
    return {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.key,
        "LIVEKIT_API_SECRET": livekit.secret,
        "RAYROOM_URL": router.url,
        "RAYROOM_AGENT_KEYS": "an-agent-key-of-tests",
        "RAYROOM_DRAIN_S": "0",
        "RAYROOM_VOICE": "on",
        "RAYROOM_USAGE_DIR": str(directory / "usage"),
        "DEEPGRAM_API_KEY": "k",
        "DEEPGRAM_BASE_URL": emulator.base_urls()["deepgram"],
        "ELEVENLABS_API_KEY": "k",
        "ELEVENLABS_BASE_URL": emulator.base_urls()["elevenlabs"],
    }


async def test_a_job_of_the_worker_transcribes_answers_and_reports_its_last_usage(
    livekit: LiveKit, tmp_path: Path
) -> None:
    room, scripted = "tenant_acme_job", ScriptedRouter(agent={"record": "report"})
    async with Emulator().running() as emulator, scripted.running() as router:
        environment = worker_environment(livekit, router, emulator, tmp_path)
        async with Processes(tmp_path) as processes, joined(livekit, room, "ann") as ann:
            await processes.start("agent", [sys.executable, "-m", "room_agent", "start"], environment)
            await eventually(lambda: processes.has_logged("agent", REGISTERED), 60.0)
            await dispatch(livekit, room, {"tenant_id": "acme"})
            await eventually(lambda: router.heartbeats and router.heartbeats[-1].get("hearing_microphones") == 1, 60.0)
            emulator.script.add("What is the secret word?")
            await ann.speak(1_500)
            await eventually(lambda: ann.agent_speech_ms > 500 and ann.answers())
            await processes.stop("agent", 20.0)
        usage = {event["id"]: event for event in router.usage}.values()
        assert sum(event["audio_ms"] for event in usage) == sum(request.audio_ms for request in emulator.journal) > 0
        assert (
            sum(event["characters"] for event in usage) == sum(request.characters for request in emulator.journal) > 0
        )
        assert router.closed == 1 and not [path for path in (tmp_path / "usage").rglob("*") if path.is_file()]
        (part,) = router.record_parts
        texts = [(entry["kind"], entry["name"], entry["text"]) for entry in part["entries"]]
        assert texts == [("utterance", "ann", "What is the secret word?"), ("answer", "ann", "It says forty two.")]
        assert part["recordId"].startswith("RM_") and part["startedAt"] <= part["joinedAt"] <= part["endedAt"]
        log = (tmp_path / "agent.log").read_text("utf-8", "replace")
        assert "secret" not in log and "forty two" not in log


@pytest.mark.kills
async def test_the_worker_bills_a_killed_job_to_the_unit(livekit: LiveKit, tmp_path: Path) -> None:
    room = "tenant_acme_killed"
    async with Emulator().running() as emulator, ScriptedRouter().running() as router:
        environment = worker_environment(livekit, router, emulator, tmp_path)
        async with Processes(tmp_path) as processes, joined(livekit, room, "ann") as ann:
            agent = await processes.start("agent", [sys.executable, "-m", "room_agent", "start"], environment)
            await eventually(lambda: processes.has_logged("agent", REGISTERED), 120.0)
            await dispatch(livekit, room, {"tenant_id": "acme"})
            await eventually(lambda: router.heartbeats and router.heartbeats[-1].get("hearing_microphones") == 1, 120.0)
            speaking = asyncio.create_task(ann.speak(6_000))
            await eventually(lambda: sum(event["audio_ms"] for event in router.usage) > 1_000, 60.0)
            # With ten heartbeats a second there may be no usage between two of them.
            router.heartbeat_statuses.extend([503] * 1_000)
            sent_before_ms = sum(request.audio_ms for request in emulator.journal)
            await eventually(
                lambda: sum(request.audio_ms for request in emulator.journal) > sent_before_ms + 1_000, 60.0
            )
            room_job(agent.pid, urlsplit(emulator.url).port).kill()
            router.heartbeat_statuses.clear()
            await eventually(lambda: processes.has_logged("agent", "dead job billed"), 120.0)
            await speaking
        usage = {event["id"]: event for event in router.usage}.values()
        sent_ms = sum(request.audio_ms for request in emulator.journal)
        certain_ms = sum(event["audio_ms"] for event in usage if not event["estimated"])
        assert certain_ms <= sent_ms <= sum(event["audio_ms"] for event in usage) <= certain_ms + 50


def room_job(worker: int, port: int | None) -> psutil.Process:
    """Return the process of the room's job: the one that is connected to the vendors."""
    (job,) = (
        process
        for process in psutil.Process(worker).children(recursive=True)
        if any(connection.raddr and connection.raddr.port == port for connection in process.net_connections("tcp"))
    )
    return job
