"""A real tRPC server on Node, on a free port; it ends on exit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from cluster.lab.stack.backend_peer import BackendPeer, peer_command

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def running_backend(
    transformer: Literal["plain", "superjson"] = "superjson", batching: bool = True
) -> AsyncIterator[BackendPeer]:
    """Yield a running backend with its own key."""
    key = "backend-key-for-tests"
    command = await asyncio.to_thread(peer_command, ROOT, key, transformer, batching)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    peer = BackendPeer(key, transformer)
    try:
        await peer.attach(process)
        yield peer
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(10):
            await process.wait()
        # The transport is closed in the next turn of the loop; without this turn Python prints a warning.
        await asyncio.sleep(0)


async def set_faults(peer: BackendPeer, **faults: int) -> None:
    """Plan faults: failBefore, loseReply, failSearch, rateLimit, retryAfterS, delayMs."""
    await peer._request("POST", "faults.set", faults)
