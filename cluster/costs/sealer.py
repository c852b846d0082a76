"""Expire and seal, each on a timer of its own, so that neither waits for the other or for the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

EXPIRE_EVERY_S = 1.0

log = structlog.get_logger()


class SealedLog(Protocol):
    """The part of the commit log that runs on timers."""

    async def expire(self) -> None: ...

    async def seal(self) -> int: ...


@dataclass
class Sealer:
    """Settle expired intents every second, and seal what is settled every `seal_every_s`."""

    commit_log: SealedLog
    seal_every_s: float
    expire_every_s: float = EXPIRE_EVERY_S
    failures: int = 0

    async def run(self) -> None:
        """Expire and seal for ever. An error is logged and counted: the events are on disk, and wait."""
        await asyncio.gather(
            self._repeat(self.commit_log.expire, self.expire_every_s, "expiry failed"),
            self._repeat(self.commit_log.seal, self.seal_every_s, "sealing failed"),
        )

    async def _repeat(self, call: Callable[[], Awaitable[object]], every_s: float, failed: str) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await call()
            except Exception as error:
                self.failures += 1
                log.error(failed, error=type(error).__name__, failures=self.failures)
