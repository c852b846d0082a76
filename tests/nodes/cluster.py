"""A process that runs the app on three Ray nodes and kills a node on request."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300
ATTEMPTS = 4
KEYS = {
    "RAYROOM_AGENT_KEYS": "agent-key-of-three-nodes",
    "RAYROOM_ADMIN_KEYS": "admin-key-of-three-nodes",
    "RAYROOM_TOKEN_SECRET": "a secret of more than thirty-two bytes",
}
T = TypeVar("T")
REPLICAS = {"min_replicas": 3, "max_replicas": 3, "num_cpus": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class RayNodes:
    """A running cluster."""

    url: str
    address: str
    journal: Path
    process: asyncio.subprocess.Process

    async def kill_worker(self) -> None:
        """Kill a worker node, and return when it is gone."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(b"kill\n")
        async with asyncio.timeout(TIMEOUT_S):
            assert await read_message(self.process.stdout) == {"killed": True}


async def read_message(stdout: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next message of the cluster, without Ray's own output."""
    while not (line := await stdout.readline()).startswith(b"{"):
        assert line, "the cluster ended; its output has the reason"
    message: dict[str, Any] = json.loads(line)
    return message


@asynccontextmanager
async def three_nodes(environment: dict[str, str]) -> AsyncIterator[RayNodes]:
    with tempfile.TemporaryDirectory(prefix="n-", dir="/tmp") as directory:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.nodes.cluster",
            directory,
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                started = await read_message(process.stdout)
            yield RayNodes(
                url=started["url"], address=started["address"], journal=Path(started["journal"]), process=process
            )
        finally:
            process.stdin.close()
            async with asyncio.timeout(TIMEOUT_S):
                await process.wait()


def _args(directory: Path) -> dict[str, Any]:
    (application,) = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))["applications"]
    args: dict[str, Any] = application["args"]
    tenants = {f"load-{number}": {"name": f"Load {number}"} for number in (1, 2)}
    return args | {
        "scaling": {"vision": REPLICAS, "llm": {"max_replicas": 1}, "embeddings": {"max_replicas": 1}},
        "simulation": {"seed": 7, "speed": 4.0},
        "costs": {"journal_path": str(directory / "journal.db"), "flush_every_s": 2},
        "backend": {"url": None, "local_path": str(directory / "backend.db"), "local_tenants": tenants},
        "keys": {"file": str(directory / "keys.env")},
    }


def with_retries(add_node: Callable[[], T]) -> T:
    """Add a node; try again if it did not start within the half minute that Ray allows."""
    for _ in range(ATTEMPTS - 1):
        try:
            return add_node()
        except Exception as error:
            print(f"a node did not start in time: {type(error).__name__}", file=sys.stderr)
    return add_node()


def main() -> None:
    """Run the cluster until stdin ends."""
    from ray import serve
    from ray.cluster_utils import Cluster

    from cluster.app import build
    from cluster.lab.stack.ports import free_ports

    directory, (port,) = Path(sys.argv[1]), free_ports(1)
    # The head has processors for everything except the replicas that must run on the other nodes.
    head: dict[str, Any] = {"num_cpus": 3, "include_dashboard": False, "object_store_memory": 128 * 1024**2}
    head["temp_dir"] = str(directory / "ray")
    cluster: Any = Cluster()
    with_retries(lambda: cluster.add_node(**head))
    cluster.connect()
    worker = {"num_cpus": 2, "object_store_memory": 128 * 1024**2}
    workers = [with_retries(lambda: cluster.add_node(**worker)) for _ in range(2)]
    try:
        # There is one proxy, because the nodes share the ports of this machine.
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        serve.run(build(_args(directory)), name="rayroom")
        started = {
            "url": f"http://127.0.0.1:{port}",
            "address": cluster.address,
            "journal": str(directory / "journal.db"),
        }
        print(json.dumps(started), flush=True)
        for _ in sys.stdin:
            cluster.remove_node(workers.pop(), allow_graceful=False)
            print(json.dumps({"killed": True}), flush=True)
        serve.shutdown()  # type: ignore[no-untyped-call]
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
