"""Send a worker's heartbeats to `rayroom dispatch`, once a second and at each change."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import structlog

from room_agent.core.worker_heartbeat import EVERY_S, MAX_JOBS, PATH, WorkerHeartbeat, WorkerJob, worker_token
from room_agent.ended_jobs import EndedJobs

TIMEOUT_S = 2.0
RECONNECT_S = 0.5
CHANGE_CHECK_S = 0.1
"""The running jobs are compared this often, so that an ended job is reported at once."""

log = structlog.get_logger()


class HeartbeatSender:
    """The heartbeats of one worker, on one connection that is opened again whenever it breaks.

    The connection is a part of the message: it breaks at the moment at which the worker is killed.
    """

    def __init__(self, url: str, key: str, secret: str, jobs: Callable[[], list[WorkerJob]]) -> None:
        self._url = url.rstrip("/") + PATH
        self._key = key
        self._secret = secret
        self._jobs = jobs
        self._ended = EndedJobs(time.monotonic)
        self._worker = secrets.token_hex(8)
        self._failing = False
        self.draining = False
        self.stopped = False

    async def run(self) -> None:
        """Send heartbeats until one has reported that the worker is `stopped`."""
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    await self._beat_until_stopped(http)
                    return
                except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                    if not self._failing:
                        log.warning("worker heartbeat failed", url=self._url, error=type(error).__name__)
                    self._failing = True
                if self.stopped:
                    return
                await asyncio.sleep(RECONNECT_S)

    async def _beat_until_stopped(self, http: aiohttp.ClientSession) -> None:
        headers = {"Authorization": worker_token(self._key, self._secret)}
        async with asyncio.timeout(TIMEOUT_S):
            websocket = await http.ws_connect(self._url, headers=headers, heartbeat=TIMEOUT_S)
        # Nothing is received but the end of the connection.
        ended: asyncio.Task[Any] = asyncio.create_task(websocket.receive())
        try:
            while True:
                beat = self._heartbeat()
                async with asyncio.timeout(TIMEOUT_S):
                    await websocket.send_str(beat.model_dump_json())
                self._failing = False
                if beat.stopped:
                    return
                await self._wait_for_change(beat, ended)
        finally:
            ended.cancel()
            await asyncio.wait({ended}, timeout=TIMEOUT_S)
            async with asyncio.timeout(TIMEOUT_S):
                await websocket.close()

    def _heartbeat(self) -> WorkerHeartbeat:
        jobs = tuple(self._jobs()[:MAX_JOBS])
        return WorkerHeartbeat(
            worker=self._worker,
            draining=self.draining,
            stopped=self.stopped,
            jobs=jobs,
            ended=self._ended.update(jobs),
        )

    async def _wait_for_change(self, sent: WorkerHeartbeat, ended: asyncio.Task[Any]) -> None:
        """Return when a heartbeat is due; raises ConnectionError where the connection has ended."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + EVERY_S
        while loop.time() < end_s and self._heartbeat() == sent:
            await asyncio.wait({ended}, timeout=CHANGE_CHECK_S)
            if ended.done():
                raise ConnectionError("rayroom dispatch closed the connection")
