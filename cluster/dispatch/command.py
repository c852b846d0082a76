"""Run `rayroom dispatch` until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal

import structlog

from cluster.config.dispatch_settings import DispatchSettings
from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.livekit_rooms import LiveKitRooms
from cluster.dispatch.metrics import DispatchMetrics
from cluster.dispatch.server import DispatchServer
from cluster.dispatch.signatures import Signatures

STARTED = "dispatch started"

log = structlog.get_logger()


async def run_dispatch(settings: DispatchSettings) -> None:
    """Watch the rooms until a signal comes, or until the watching fails."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    key, secret = settings.livekit_api_key, settings.livekit_api_secret
    rooms = LiveKitRooms(settings.livekit_url, key, secret, settings.agent_name, settings.dispatch_secret)
    metrics = DispatchMetrics()
    dispatcher = Dispatcher(rooms, metrics)
    server = DispatchServer(dispatcher, Signatures(key, secret), metrics)
    try:
        async with server.running(settings.host, settings.port) as port:
            log.info(STARTED, host=settings.host, port=port, agent_name=settings.agent_name)
            running, stopping = asyncio.create_task(dispatcher.run()), asyncio.create_task(stop.wait())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            running.cancel()
            await asyncio.wait({running, stopping})
            # Raises the error that ended the watching, if one did.
            if not running.cancelled():
                running.result()
    finally:
        await rooms.aclose()
