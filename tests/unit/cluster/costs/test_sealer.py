"""Expiring and sealing go on while the other one hangs or fails."""

from __future__ import annotations

import asyncio

from cluster.costs.sealer import Sealer


class HangingLog:
    """Its first seal fails, its second one hangs; each expiry is counted."""

    def __init__(self) -> None:
        self.expiries = 0
        self.seals = 0
        self.hangs = asyncio.Event()
        self.expired_while_hanging = asyncio.Event()

    async def expire(self) -> None:
        self.expiries += 1
        if self.hangs.is_set():
            self.expired_while_hanging.set()

    async def seal(self) -> int:
        self.seals += 1
        if self.seals == 1:
            raise OSError("disk")
        self.hangs.set()
        await asyncio.Event().wait()
        return 0


async def test_intents_expire_while_sealing_hangs_and_after_it_failed() -> None:
    hanging = HangingLog()
    sealer = Sealer(hanging, seal_every_s=0.001, expire_every_s=0.001)
    running = asyncio.create_task(sealer.run())
    async with asyncio.timeout(30):
        await hanging.expired_while_hanging.wait()
    running.cancel()
    assert sealer.failures == 1 and hanging.seals == 2
