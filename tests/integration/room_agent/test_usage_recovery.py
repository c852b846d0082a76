"""Check that the worker bills each killed job once, even without its room, and ignores running jobs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from room_agent.core.router_client import RouterClient
from room_agent.core.router_errors import RouterRefused
from room_agent.core.router_transport import HttpTransport
from room_agent.usage.job_file import JournaledJob
from room_agent.usage.journal import UsageJournal
from room_agent.usage.recovery import UsageRecovery
from tests.support.eventually import eventually
from tests.support.gateway import KEYS, gateway_in_process, served
from tests.support.scripted_router import ScriptedRouter

ROOM = "tenant_acme_standup"
KILLED_JOB = f"""
import os, signal, sys
from pathlib import Path
from room_agent.usage.meter import SpeechMeter
from room_agent.usage.job_file import JournaledJob
from room_agent.usage.journal import UsageJournal
journal = UsageJournal.create(Path(sys.argv[1]), JournaledJob(room="{ROOM}", job_id="AJ_1", metadata="{{}}"))
usage = SpeechMeter(lambda: 1_700_000_000.0, journal)
socket = usage.socket("stt", "nova-3")
for number in range(300):
    socket.will_send(50)
    socket.sent(0)
    usage.due()
socket.will_send(20)
os.kill(os.getpid(), signal.SIGKILL)
"""


SPEAKING_JOB = f"""
import asyncio, sys
from pathlib import Path
from room_agent.usage.meter import SpeechMeter, metered_stt_session
from room_agent.usage.job_file import JournaledJob
from room_agent.usage.journal import UsageJournal
async def main():
    journal = UsageJournal.create(Path(sys.argv[1]), JournaledJob(room="{ROOM}", job_id="AJ_1", metadata="{{}}"))
    usage = SpeechMeter(lambda: 1_700_000_000.0, journal)
    async with metered_stt_session(usage) as http, http.ws_connect(sys.argv[2] + "?model=nova-3") as socket:
        while True:
            await socket.send_bytes(bytes(640))
            await asyncio.sleep(0)
asyncio.run(main())
"""


class CountingVendor:
    """A vendor that counts the audio it receives."""

    def __init__(self, threshold_ms: int) -> None:
        self.received_ms = 0
        self.threshold_reached, self.disconnected = asyncio.Event(), asyncio.Event()
        self._threshold_ms = threshold_ms

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/", self._count_audio)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

    async def _count_audio(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            self.received_ms += len(message.data) // 32
            if self.received_ms >= self._threshold_ms:
                self.threshold_reached.set()
        self.disconnected.set()
        return socket


@pytest.fixture(scope="module")
def killed_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of 300 chunks, which a job wrote until it killed itself: more than one heartbeat carries."""
    directory = tmp_path_factory.mktemp("killed")
    assert subprocess.run([sys.executable, "-c", KILLED_JOB, str(directory)]).returncode == -signal.SIGKILL
    return directory


@pytest.fixture
def journal_of_killed_job(killed_job: Path, tmp_path: Path) -> Path:
    """The directory of a copy of that journal."""
    shutil.copytree(killed_job, tmp_path, dirs_exist_ok=True)
    return tmp_path


@asynccontextmanager
async def recovery_of(directory: Path, url: str, key: str = "agent-key") -> AsyncIterator[UsageRecovery]:
    transport = HttpTransport(url)
    yield UsageRecovery(directory, lambda job: client_of(transport, job, key))
    await transport.aclose()


async def recover(directory: Path, url: str, key: str = "agent-key") -> bool:
    async with recovery_of(directory, url, key) as recovery:
        return await recovery.recover()


def client_of(transport: HttpTransport, job: JournaledJob, key: str = "agent-key") -> RouterClient:
    return RouterClient(transport, key, job.room, job.job_id, job.metadata, ended=True)


def write_dead_jobs_journal(directory: Path, name: str, room: str = ROOM) -> None:
    """Write the journal of a dead job that sent 50 ms of audio."""
    tenant = room.split("_")[1]
    journal = UsageJournal.create(
        directory, JournaledJob(room=room, job_id=name, metadata=f'{{"tenant_id": "{tenant}"}}')
    )
    journal.announced(1, ("stt", "nova-3", ""), 50)
    journal.close(settled=False)


def journals(directory: Path) -> list[Path]:
    return list(directory.glob("*.jsonl"))


def billed(router: ScriptedRouter) -> list[tuple[int, bool]]:
    events: dict[str, dict[str, Any]] = {event["id"]: event for event in router.usage}
    return [(event["audio_ms"], event["estimated"]) for event in events.values()]


async def test_a_killed_job_is_billed_and_its_room_is_closed_again(journal_of_killed_job: Path) -> None:
    async with ScriptedRouter().running() as router:
        assert await recover(journal_of_killed_job, router.url)
        assert billed(router) == [(50, False)] * 300 + [(20, True)]
        assert (router.opened, router.closed) == (1, 1)
    assert os.listdir(journal_of_killed_job) == []


@pytest.mark.parametrize("after_ms", [3_000, 8_003])
async def test_a_job_killed_while_it_speaks_is_billed_for_the_audio_its_vendor_received(
    tmp_path: Path, after_ms: int
) -> None:
    vendor, router = CountingVendor(after_ms), ScriptedRouter()
    async with vendor.running() as url, router.running(), asyncio.timeout(60):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", SPEAKING_JOB, str(tmp_path), url)
        await vendor.threshold_reached.wait()
        process.kill()
        await process.wait()
        await vendor.disconnected.wait()
        assert await recover(tmp_path, router.url)
    exact_ms = sum(audio_ms for audio_ms, estimated in billed(router) if not estimated)
    estimated_ms = sum(audio_ms for audio_ms, estimated in billed(router) if estimated)
    # At most one chunk is in a socket, unless the kernel buffer is full.
    assert vendor.received_ms >= after_ms and exact_ms <= vendor.received_ms <= exact_ms + estimated_ms


async def test_a_living_job_is_not_recovered(tmp_path: Path) -> None:
    journal = UsageJournal.create(tmp_path, JournaledJob(room=ROOM, job_id="AJ_2", metadata="{}"))
    journal.announced(1, ("stt", "nova-3", ""), 50)
    async with ScriptedRouter().running() as router:
        assert await recover(tmp_path, router.url)
        assert router.opened == 0
        journal.close(settled=False)
        assert await recover(tmp_path, router.url)
        assert billed(router) == [(50, True)]


async def test_refused_events_are_sent_again_under_the_same_ids(journal_of_killed_job: Path) -> None:
    router = ScriptedRouter()
    # The second half of the events is refused.
    router.heartbeat_statuses.extend([200, 503])
    async with router.running():
        assert not await recover(journal_of_killed_job, router.url)
        half = len(router.usage)
        assert await recover(journal_of_killed_job, router.url)
        assert (
            len(router.usage) == half + len(billed(router))
            and sum(audio_ms for audio_ms, _ in billed(router)) == 15_020
        )


async def test_an_unreachable_router_leaves_the_journal_in_place(journal_of_killed_job: Path) -> None:
    async with ScriptedRouter().running() as router:
        pass
    assert not await recover(journal_of_killed_job, router.url) and len(journals(journal_of_killed_job)) == 1


async def test_two_workers_bill_a_dead_job_once(journal_of_killed_job: Path) -> None:
    async with ScriptedRouter().running() as router:
        await asyncio.gather(*(recover(journal_of_killed_job, router.url) for _ in range(2)))
        assert len(router.usage) == 301 and router.opened == 1


async def test_a_job_that_cannot_be_billed_does_not_delay_the_others(tmp_path: Path) -> None:
    for name in ("AJ_1", "AJ_2", "AJ_3"):
        write_dead_jobs_journal(tmp_path, name)
    async with ScriptedRouter().running() as router, recovery_of(tmp_path, router.url) as recovery:
        router_for = recovery._router_for

        def client_or_error(job: JournaledJob) -> RouterClient:
            if job.job_id == "AJ_2":
                raise IndexError
            return router_for(job)

        recovery._router_for = client_or_error
        assert not await recovery.recover()
        assert billed(router) == [(50, True)] * 2 and len(journals(tmp_path)) == 1


async def test_scanning_continues_after_an_unexpected_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("room_agent.usage.recovery.SCAN_EVERY_S", 0.05)
    write_dead_jobs_journal(tmp_path, "AJ_1")
    async with ScriptedRouter().running() as router, recovery_of(tmp_path, router.url) as recovery:
        recovery._directory = None  # type: ignore[assignment]
        running = asyncio.create_task(recovery.run())
        await asyncio.sleep(0.2)
        recovery._directory = tmp_path
        await eventually(lambda: journals(tmp_path) == [])
        running.cancel()
    assert billed(router) == [(50, True)]


async def test_a_suspended_tenants_dead_job_is_billed_and_its_token_gives_no_other_access(tmp_path: Path) -> None:
    room, usage = "tenant_initech_x", tmp_path / "usage"
    write_dead_jobs_journal(usage, "AJ_1", room)
    async with gateway_in_process(tmp_path) as (gateway, cluster), served(gateway) as url:
        assert await recover(usage, url, KEYS.agent[0]) and journals(usage) == []
        assert (await cluster.totals("initech")).settled_nanousd == 50 * 80 and await cluster.of("initech") == ()
        transport = HttpTransport(url)
        job = JournaledJob(room=room, job_id="AJ_1", metadata='{"tenant_id": "initech"}')
        client = client_of(transport, job, KEYS.agent[0])
        await client.open()
        with pytest.raises(RouterRefused, match="403 tenant_suspended"):
            await client.search("What is it?", top_k=1, timeout_s=5)
        await transport.aclose()


async def test_without_journals_the_router_is_not_called(tmp_path: Path) -> None:
    async with ScriptedRouter().running() as router:
        assert await recover(tmp_path / "none", router.url) and router.opened == 0
