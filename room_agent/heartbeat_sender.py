"""Send a worker's heartbeats to `rayroom dispatch`, once a second and at each change."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import aiohttp
import structlog

from room_agent.core.worker_heartbeat import EVERY_S, MAX_JOBS, PATH, WorkerHeartbeat, WorkerJob, signed_token

TIMEOUT_S = 2.0
CHANGE_CHECK_S = 0.1
"""The running jobs are compared this often, so that an ended job is reported at once."""

log = structlog.get_logger()


class HeartbeatSender:
    """The heartbeats of one worker. A failed one is logged once until one succeeds; the next one follows."""

    def __init__(self, url: str, key: str, secret: str, jobs: Callable[[], list[WorkerJob]]) -> None:
        self._url = url.rstrip("/") + PATH
        self._key = key
        self._secret = secret
        self._jobs = jobs
        self._worker = secrets.token_hex(8)
        self._number = 0
        self._failing = False
        self.draining = False

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
            while True:
                beat = self._heartbeat()
                await self._send(http, beat)
                await self._wait_for_change(beat)

    async def send_last(self) -> None:
        """Report that the worker ends now."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
            await self._send(http, self._heartbeat(stopped=True))

    def _heartbeat(self, stopped: bool = False) -> WorkerHeartbeat:
        self._number += 1
        return WorkerHeartbeat(
            worker=self._worker,
            number=self._number,
            draining=self.draining,
            stopped=stopped,
            jobs=tuple(self._jobs()[:MAX_JOBS]),
        )

    async def _wait_for_change(self, sent: WorkerHeartbeat) -> None:
        end_s = asyncio.get_running_loop().time() + EVERY_S
        while asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(CHANGE_CHECK_S)
            if self.draining != sent.draining or set(self._jobs()) != set(sent.jobs):
                return

    async def _send(self, http: aiohttp.ClientSession, beat: WorkerHeartbeat) -> None:
        body = beat.model_dump_json().encode()
        headers = {"Authorization": signed_token(self._key, self._secret, body), "Content-Type": "application/json"}
        try:
            async with http.post(self._url, data=body, headers=headers) as response:
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            if not self._failing:
                log.warning("worker heartbeat failed", url=self._url, error=type(error).__name__)
            self._failing = True
        else:
            self._failing = False
