"""The record of a meeting from an agent's files over the router's route to a real tRPC backend on Node."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.backend.factory import CachedDirectory
from cluster.config.settings import BackendSettings
from cluster.lab.stack.backend_peer import BackendPeer
from deployments.gateway.service import Gateway
from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.records.recorder import MeetingRecorder, MeetingRoom
from room_agent.records.recovery import RETRY_PARKED_S, RecordRecovery
from room_agent.usage.job_file import JournaledJob
from tests.support.gateway import KEYS, InProcessCluster, gateway_in_process, jpeg, served
from tests.support.manual_clock import ManualClock
from tests.support.trpc_backend import KEY, running_backend, set_faults

KILLED_JOB = """
import asyncio, os, signal, sys, time
from pathlib import Path
from room_agent.records.recorder import MeetingRecorder, MeetingRoom
from room_agent.usage.job_file import JournaledJob
from routing.models import TenantAgent

async def main():
    room, started_at_s = sys.argv[2], float(sys.argv[3])
    job = JournaledJob(room=room, job_id="AJ_1", metadata='{"tenant_id": "hooli"}')
    meeting = MeetingRoom(sid="RM_1", created_at_s=started_at_s)
    recorder = MeetingRecorder(Path(sys.argv[1]), job, meeting, "Rayroom", time.time)
    await recorder.begin(TenantAgent(record="report", retention_days=30))
    recorder.add_utterance("ann", "Ann", "Rayroom, what is the total?", "speech")
    recorder.add_answer("ann", "Ann", "It is *718*.", ("report.md",), 0.8, interrupted=False, failed=False)
    recorder.add_tool_call("look_up_order", "ok", 0.12, 40)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@dataclass
class RecordScene:
    """A router before a real backend, and the directory of an agent's files."""

    peer: BackendPeer
    gateway: Gateway
    cluster: InProcessCluster
    url: str
    transport: HttpTransport
    files: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(time.time()))

    def router(self, job: JournaledJob, ended: bool = True) -> RouterClient:
        return RouterClient(self.transport, KEYS.agent[0], job.room, job.job_id, job.metadata, ended=ended)

    def recovery(self) -> RecordRecovery:
        return RecordRecovery(self.files, self.router, self.clock)

    def waiting(self) -> list[str]:
        return sorted(path.suffix for path in self.files.glob("records/*") if path.suffix != ".lock")

    async def hold(self, tenant: str, meeting: str, utterances: int = 1, send: bool = True, sid: str = "RM_2") -> None:
        """Hold a meeting to its end, as an agent's session does."""
        metadata = json.dumps({"tenant_id": tenant})
        job = JournaledJob(room=f"tenant_{tenant}_{meeting}", job_id=f"AJ_{meeting}", metadata=metadata)
        router = self.router(job, ended=False)
        opened = await router.open()
        room = MeetingRoom(sid=sid, created_at_s=self.clock())
        recorder = MeetingRecorder(self.files, job, room, "Rayroom", self.clock)
        await recorder.begin(opened.agent)
        for number in range(utterances):
            recorder.add_utterance("ann", "Ann", f"Sentence {number} of the meeting.", "speech")
        await recorder.aclose(router if send else None)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordScene]:
    monkeypatch.setenv("RAYROOM_BACKEND_KEY", KEY)
    async with running_backend() as peer, _scene(tmp_path, peer) as scene:
        yield scene


@asynccontextmanager
async def _scene(path: Path, peer: BackendPeer) -> AsyncIterator[RecordScene]:
    directory = CachedDirectory(BackendSettings(url=peer.url))
    async with gateway_in_process(path, directory=directory) as (gateway, cluster), served(gateway) as url:
        transport = HttpTransport(url)
        yield RecordScene(peer, gateway, cluster, url, transport, path / "agent")
        await transport.aclose()


async def test_a_tenant_without_the_setting_has_no_record_on_disk_or_at_the_backend(scene: RecordScene) -> None:
    await scene.hold("acme", "standup", utterances=3)
    assert not scene.files.exists()
    assert await scene.recovery().recover() and await scene.peer.record("acme", "standup") is None


async def test_the_record_of_a_killed_agent_arrives_once_though_the_backend_fails_and_a_reply_is_lost(
    scene: RecordScene,
) -> None:
    room, started_at_s = "tenant_hooli_weekly", time.time() - 60
    job = JournaledJob(room=room, job_id="AJ_live", metadata='{"tenant_id": "hooli"}')
    router = scene.router(job, ended=False)
    await router.open()
    await router.describe(jpeg(), {})
    command = [sys.executable, "-c", KILLED_JOB, str(scene.files), room, str(started_at_s)]
    killed = await asyncio.to_thread(subprocess.run, command, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    await set_faults(scene.peer, failReport=2, loseReportReply=1)
    recovered = [await scene.recovery().recover() for _ in range(4)]
    assert recovered == [False, False, False, True] and scene.waiting() == []

    record = await scene.peer.record("hooli", "weekly")
    assert record is not None and record["parts"] == 1
    document = record["json"]
    assert [entry["kind"] for entry in document["entries"]] == ["utterance", "answer", "tool_call"]
    assert document["retentionDays"] == 30 and document["recordId"] == "RM_1"
    (event,) = await scene.cluster.events()
    assert document["costs"]["totalNanousd"] == event["cost_nanousd"] != 0
    assert document["costs"]["asOf"] > document["endedAt"] > document["startedAt"]
    assert "**: It is \\*718\\*. (sources: report.md)" in record["markdown"]
    assert "look\\_up\\_order**: ok, 120 ms, $0.000000040" in record["markdown"]
    await router.close()

    scene.clock.now_s = time.time()
    await scene.hold("hooli", "weekly", sid="RM_1")
    record = await scene.peer.record("hooli", "weekly")
    assert record is not None and record["parts"] == 2
    assert [entry["kind"] for entry in record["json"]["entries"]][2:] == ["tool_call", "utterance"]
    assert record["markdown"].count("## Costs of the meeting as of") == 2


async def test_records_are_deleted_by_meeting_and_by_tenant_and_one_that_waits_goes_too(scene: RecordScene) -> None:
    for meeting in ("monday", "tuesday", "wednesday"):
        await scene.hold("hooli", meeting, send=meeting != "wednesday", sid=f"RM_{meeting}")
    assert await scene.peer.record("hooli", "monday") is not None and scene.waiting() == [".record"]
    async with httpx.AsyncClient(base_url=scene.url, headers={"authorization": f"Bearer {KEYS.admin[0]}"}) as admin:
        one = await admin.delete("/v1/tenants/hooli/records", params={"meeting": "monday"})
        assert one.json() == {"deleted": 1}
        assert await scene.peer.record("hooli", "monday") is None
        assert await scene.peer.record("hooli", "tuesday") is not None
        every = await admin.delete("/v1/tenants/hooli/records")
        assert every.json() == {"deleted": 1}
        assert (
            await admin.delete("/v1/tenants/hooli/records", headers={"authorization": "Bearer x"})
        ).status_code == 401
    assert await scene.recovery().recover() and scene.waiting() == []
    assert await scene.peer.record("hooli", "wednesday") is None
    scene.clock.now_s = time.time() + 1
    await scene.hold("hooli", "tuesday")
    assert await scene.peer.record("hooli", "tuesday") is not None


async def test_a_refused_record_is_parked_and_sent_an_hour_later_in_parts_that_the_backend_takes(
    scene: RecordScene,
) -> None:
    await set_faults(scene.peer, refuseReport=1)
    await scene.hold("hooli", "review", utterances=300)
    assert scene.waiting() == [".parked"] and await scene.recovery().recover()
    assert await scene.peer.record("hooli", "review") is None
    await set_faults(scene.peer, maxBodySize=30_000)
    scene.clock.now_s += RETRY_PARKED_S + 5
    assert await scene.recovery().recover() and scene.waiting() == []
    record = await scene.peer.record("hooli", "review")
    assert record is not None and record["parts"] > 2
    texts = [entry["text"] for entry in record["json"]["entries"]]
    assert texts == [f"Sentence {number} of the meeting." for number in range(300)]
    assert record["markdown"].count("# Meeting review") == record["markdown"].count("## Costs") == 1


async def test_fields_of_an_agent_that_are_left_out_reach_the_backend_once(scene: RecordScene) -> None:
    metadata = json.dumps({"tenant_id": "acme", "agent": {"record": "always", "names": ["Ada"]}})
    for number in range(3):
        job = JournaledJob(room=f"tenant_acme_{number}", job_id="AJ_1", metadata=metadata)
        assert (await scene.router(job).open()).agent.names == ("Ada",)
    reports: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not reports:
            reports = await scene.peer.refused_fields()
    (report,) = reports
    assert (report["tenantId"], report["source"]) == ("acme", "metadata")
    assert [field["field"] for field in report["fields"]] == ["record"] and "always" not in json.dumps(report)
