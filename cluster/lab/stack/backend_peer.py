"""Run the example tRPC backend as a peer: a real server, for the demo and for the tests."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import httpx

from routing.errors import ConfigurationError, RayroomError

PEER = Path("examples/trpc_backend")
NODE_MAJOR = 20
INSTALL_TIMEOUT_S = 180
READY_TIMEOUT_S = 60.0


def peer_command(
    root: Path,
    key: str,
    transformer: Literal["plain", "superjson"] = "superjson",
    batching: bool = True,
    passages: Path | None = None,
) -> list[str]:
    """Return the command that runs the peer, with its packages installed; raises ConfigurationError without Node.

    `passages` is a file with further passages of its knowledge base.
    """
    node = _tool("node")
    major = subprocess.run(
        [node, "-p", "process.versions.node.split('.')[0]"], capture_output=True, text=True, timeout=READY_TIMEOUT_S
    )
    if int(major.stdout.strip() or 0) < NODE_MAJOR:
        raise ConfigurationError(f"node: version {NODE_MAJOR} or newer is needed; this one is {major.stdout.strip()}.")
    directory = root / PEER
    install(directory)
    # One argument: a random key may begin with a dash, which Node would parse as another option.
    command = [node, str(directory / "server.js"), f"--key={key}", "--transformer", transformer]
    if passages is not None:
        command += ["--passages", str(passages)]
    return command if batching else [*command, "--no-batching"]


def install(directory: Path) -> None:
    """Install the peer's packages unless they match this lock file; raises ConfigurationError."""
    lock, stamp = directory / "package-lock.json", directory / "node_modules" / ".rayroom-lock"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    result = subprocess.run(
        [_tool("npm"), "ci", "--silent"], cwd=directory, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
    )
    if result.returncode != 0:
        raise ConfigurationError(f"npm ci failed in {directory.name}:\n{result.stderr[-2_000:]}")
    stamp.write_bytes(lock.read_bytes())


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ConfigurationError(f"{name} is missing: install Node.js {NODE_MAJOR} or newer, which brings it.")
    return path


class PeerFailed(RayroomError):
    """The tRPC peer did not start, or did not answer."""


class BackendPeer:
    """A running peer and its procedures that show its bill."""

    def __init__(self, key: str, transformer: str = "superjson") -> None:
        self.key = key
        self.url = ""
        self._superjson = transformer == "superjson"

    async def attach(self, process: asyncio.subprocess.Process) -> None:
        """Wait for `process` to print its port; raises PeerFailed."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                line = await process.stdout.readline()
            self.url = f"http://127.0.0.1:{int(json.loads(line)['port'])}"
        except (TimeoutError, ValueError, KeyError):
            raise PeerFailed("The tRPC peer did not say its port.") from None

    async def totals_nanousd(self) -> dict[str, int]:
        """Return the billed amount of each tenant."""
        totals = await self._request("GET", "analytics.totals")
        return {tenant: int(total["nanoUsd"]) for tenant, total in totals.items()}

    async def events(self, tenant_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = await self._request("GET", "analytics.events", {"tenantId": tenant_id})
        return events

    async def record(self, tenant_id: str, meeting_id: str) -> dict[str, Any] | None:
        """Return a meeting's record, joined from its parts; None without one."""
        record: dict[str, Any] | None = await self._request(
            "GET", "sessions.record", {"tenantId": tenant_id, "meetingId": meeting_id}
        )
        return record

    async def refused_fields(self) -> list[dict[str, Any]]:
        """Return the reports of fields that were left out."""
        refused: list[dict[str, Any]] = await self._request("GET", "tenants.refused")
        return refused

    async def _request(self, method: str, procedure: str, value: dict[str, Any] | None = None) -> Any:
        payload = {"json": value} if self._superjson else value
        params = {"input": json.dumps(payload)} if value is not None and method == "GET" else None
        body = json.dumps(payload) if method == "POST" else None
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        async with httpx.AsyncClient(timeout=10.0) as http:
            response = await http.request(
                method, f"{self.url}/trpc/{procedure}", params=params, content=body, headers=headers
            )
        if not response.is_success:
            raise PeerFailed(f"{procedure} answered HTTP {response.status_code}.")
        data = response.json()["result"]["data"]
        return data["json"] if self._superjson else data
