"""Implements `python -m room_agent start|dev`: runs the worker until SIGTERM or SIGINT, then drains it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from typing import NoReturn

import structlog
from livekit.agents import AgentServer

from room_agent.core.router_client import RouterClient
from room_agent.core.router_transport import HttpTransport
from room_agent.core.settings import TRACK_SETTINGS_URL, AgentSettings, load_settings
from room_agent.core.tasks import cancel
from room_agent.heartbeat_sender import HeartbeatSender
from room_agent.host.process_tuning import tune_environment
from room_agent.host.room_guard import process_guard
from room_agent.host.signal_relay import SignalRelay
from room_agent.records.recovery import RecordRecovery
from room_agent.usage.job_file import JournaledJob
from room_agent.usage.recovery import UsageRecovery
from room_agent.worker import build_server, running_jobs
from routing.errors import ConfigurationError
from routing.process import configure_logs

# Longer than the ten seconds that a job process may take for its shutdown callbacks.
CLOSE_TIMEOUT_S = 12.0
LAST_HEARTBEAT_S = 1.0
LAST_RECORDS_S = 5.0
"""With the drain and the end of the jobs it fits into `terminationGracePeriodSeconds` of manifests/base/agents.yaml."""

log = structlog.get_logger()


async def run(devmode: bool, settings: AgentSettings) -> None:
    """Run the worker; the first signal drains it, a second one ends it at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        if settings.uses_signal_relay:
            relay = await stack.enter_async_context(SignalRelay(settings.livekit_url).running())
            settings = settings.model_copy(update={"livekit_url": relay.url})
            # The job processes inherit it.
            os.environ[TRACK_SETTINGS_URL] = relay.settings_url
        await _run(build_server(settings), devmode, settings, stop)


async def _run(server: AgentServer, devmode: bool, settings: AgentSettings, stop: asyncio.Event) -> None:
    running = asyncio.create_task(server.run(devmode=devmode))
    transport = HttpTransport(settings.router_url)
    recovery = UsageRecovery(settings.usage_dir, lambda job: _router_for(job, transport, settings.agent_key))
    recovering = asyncio.create_task(recovery.run(), name="usage recovery") if settings.speech.voice else None
    records = RecordRecovery(settings.usage_dir, lambda job: _router_for(job, transport, settings.agent_key), time.time)
    recording = asyncio.create_task(records.run(), name="record recovery")
    heartbeats = _heartbeats(server, settings)
    beating = asyncio.create_task(heartbeats.run(), name="heartbeats") if heartbeats is not None else None
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    stop.clear()
    if not running.done():
        if heartbeats is not None:
            # `rayroom dispatch` sends a successor into each of the rooms.
            heartbeats.draining = True
        await _drain(server, stop, settings.drain_s)
    if heartbeats is not None and beating is not None:
        heartbeats.stopped = True
        await asyncio.wait({beating}, timeout=LAST_HEARTBEAT_S)
        await cancel({beating}, LAST_HEARTBEAT_S)
    await cancel({recording, *([recovering] if recovering is not None else [])}, CLOSE_TIMEOUT_S)
    await records.finish(LAST_RECORDS_S)
    await transport.aclose()
    # Raises the error that ended the worker, if one did.
    await running


def _heartbeats(server: AgentServer, settings: AgentSettings) -> HeartbeatSender | None:
    """Return the worker's heartbeats, or None without `RAYROOM_DISPATCH_URL`."""
    if not settings.dispatch_url:
        return None
    key, secret = settings.livekit_api_key, settings.livekit_api_secret
    return HeartbeatSender(settings.dispatch_url, key, secret, lambda: running_jobs(server))


def _router_for(job: JournaledJob, transport: HttpTransport, agent_key: str) -> RouterClient:
    """Return a client that bills the usage, or sends the record, which a dead job left in its file."""
    return RouterClient(transport, agent_key, job.room, job.job_id, job.metadata, ended=True)


async def _drain(server: AgentServer, stop: asyncio.Event, drain_s: float) -> None:
    """Accept no more jobs, let the running ones end by themselves within `drain_s`, then shut them down."""
    log.info("drain started", rooms=len(server.active_jobs), seconds=drain_s)
    draining = asyncio.create_task(server.drain(timeout=None))
    second_signal = asyncio.create_task(stop.wait())
    await asyncio.wait({draining, second_signal}, return_when=asyncio.FIRST_COMPLETED, timeout=drain_s)
    draining.cancel()
    second_signal.cancel()
    await asyncio.wait({draining, second_signal})
    async with asyncio.timeout(CLOSE_TIMEOUT_S):
        await server.aclose()


def main() -> int:
    """Run the command line; return the exit status: 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="python -m room_agent", description="The room agent of rayroom.")
    parser.add_argument("mode", choices=["start", "dev"], help="dev: no idle processes, more logs")
    mode = parser.parse_args().mode
    configure_logs()
    try:
        settings = load_settings()
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)
        return 2
    speech = settings.speech
    tune_environment(os.environ, judges_pauses=speech.voice and speech.end_of_turn == "model")
    if settings.rooms_share_a_process:
        _run_and_exit(mode == "dev", settings)
    asyncio.run(run(mode == "dev", settings))
    return 0


def _run_and_exit(devmode: bool, settings: AgentSettings) -> NoReturn:
    """Run the worker and end the process, also where a room's thread hangs: the interpreter would wait for it."""
    status = 1
    try:
        asyncio.run(run(devmode, settings))
        status = 1 if process_guard().retired else 0
    except Exception as error:
        log.error("worker failed", error=type(error).__name__, exc_info=error)
    finally:
        sys.stdout.flush()
        os._exit(status)


# Job processes import this file again: without the guard each would start a worker.
if __name__ == "__main__":
    sys.exit(main())
