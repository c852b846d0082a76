"""A real tRPC server on Node, on a free port; it ends on exit. With faults, or the example as users copy it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx

from cluster.lab.stack.backend_peer import PEER, BackendPeer, peer_command

ROOT = Path(__file__).parents[2]
KEY = "backend-key-for-tests"
EVERYDAY_FAULTS: dict[str, Any] = {
    "failBeforeRate": 0.1,
    "failAfterRate": 0.1,
    "loseReplyRate": 0.03,
    "repeatRate": 0.1,
    "delayMs": 2,
    "conflicts": True,
}
"""The faults that every test of a whole bill has: before and after a row is stored, a lost reply, a repeated row."""


def faulty_command(
    root: Path,
    key: str,
    transformer: Literal["plain", "superjson"] = "superjson",
    batching: bool = True,
    passages: Path | None = None,
    faults: dict[str, Any] | None = None,
    tenants: int = 0,
) -> list[str]:
    """Return the command of a backend with faults: the example's procedures, and its installed packages.

    With `tenants` its tenants are as many, named tenant-00 and so on, in place of the example's.
    """
    command = peer_command(root, key, transformer, batching, passages)
    server = str(root / "tests/support/faulty_backend/server.mjs")
    return [server if part == str(root / PEER / "server.js") else part for part in command] + [
        "--faults",
        json.dumps(faults or {}),
        f"--tenants={tenants}",
    ]


@asynccontextmanager
async def running_backend(
    transformer: Literal["plain", "superjson"] = "superjson", batching: bool = True, tenants: int = 0, **faults: Any
) -> AsyncIterator[BackendPeer]:
    """Yield a running backend with faults, in the given transformer."""
    command = await asyncio.to_thread(faulty_command, ROOT, KEY, transformer, batching, faults=faults, tenants=tenants)
    async with _running(command, transformer) as peer:
        yield peer


@asynccontextmanager
async def running_example() -> AsyncIterator[BackendPeer]:
    """Yield the example as users copy it, on Fastify."""
    command = await asyncio.to_thread(peer_command, ROOT, KEY)
    async with _running(command, "superjson") as peer:
        yield peer


@asynccontextmanager
async def _running(command: list[str], transformer: str) -> AsyncIterator[BackendPeer]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    peer = BackendPeer(KEY, transformer)
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


def amounts_since(before_nanousd: Mapping[str, int], totals_nanousd: Mapping[str, int]) -> dict[str, int]:
    """Return the amounts added to the totals, of the tenants that have one."""
    added = {tenant: total - before_nanousd.get(tenant, 0) for tenant, total in totals_nanousd.items()}
    return {tenant: amount for tenant, amount in added.items() if amount}


async def set_faults(peer: BackendPeer, **faults: Any) -> None:
    """Plan faults by their names in faulty_backend/faults.mjs; they replace all former ones."""
    await _post(peer, "/faults", faults)


async def add_tenant(peer: BackendPeer, tenant_id: str, **fields: Any) -> None:
    """Add a tenant without limits to a backend with faults, or replace it."""
    tenant = {"id": tenant_id, "name": tenant_id, "plan": "pro", "status": "active"}
    await _post(peer, "/tenants", tenant | {"monthlyBudgetUsd": None, "requestsPerMinute": None} | fields)


async def _post(peer: BackendPeer, path: str, body: dict[str, Any]) -> None:
    async with httpx.AsyncClient(timeout=10.0) as http:
        headers = {"authorization": f"Bearer {peer.key}"}
        response = await http.post(f"{peer.url}{path}", json=body, headers=headers)
    assert response.is_success, response.text
