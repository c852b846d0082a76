"""Three Ray nodes with the app on them, as a process of its own: it kills a node when it is told to."""

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
PATIENCE_S = 300
TRIES = 4
KEYS = {
    "RAYROOM_AGENT_KEYS": "agent-key-of-three-nodes",
    "RAYROOM_ADMIN_KEYS": "admin-key-of-three-nodes",
    "RAYROOM_TOKEN_SECRET": "a secret of more than thirty-two bytes",
}
T = TypeVar("T")
REPLICAS = {"min_replicas": 3, "max_replicas": 3, "num_cpus": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """A running cluster."""

    url: str
    address: str
    journal: Path
    process: asyncio.subprocess.Process

    async def kill_one(self) -> None:
        """Kill a worker node, and return when it is gone."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(b"kill\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await told(self.process.stdout) == {"killed": True}


async def told(stdout: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next message of the cluster, without Ray's own output."""
    while not (line := await stdout.readline()).startswith(b"{"):
        assert line, "the cluster ended; its own output says why"
    said: dict[str, Any] = json.loads(line)
    return said


@asynccontextmanager
async def three_nodes(environment: dict[str, str]) -> AsyncIterator[Nodes]:
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
            async with asyncio.timeout(PATIENCE_S):
                up = await told(process.stdout)
            yield Nodes(url=up["url"], address=up["address"], journal=Path(up["journal"]), process=process)
        finally:
            process.stdin.close()
            async with asyncio.timeout(PATIENCE_S):
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


def in_time(add: Callable[[], T]) -> T:
    """Add a node, again where it was not there within the half minute that Ray gives it."""
    for _ in range(TRIES - 1):
        try:
            return add()
        except Exception as error:
            print(f"a node did not start in time: {type(error).__name__}", file=sys.stderr)
    return add()


def main() -> None:
    """Run the cluster until stdin ends."""
    from ray import serve
    from ray.cluster_utils import Cluster

    from cluster.app import build
    from cluster.lab.stack.ports import free_ports

    directory, (port,) = Path(sys.argv[1]), free_ports(1)
    # The head has room for all but the replicas that must be elsewhere.
    head: dict[str, Any] = {"num_cpus": 3, "include_dashboard": False, "object_store_memory": 128 * 1024**2}
    head["temp_dir"] = str(directory / "ray")
    cluster: Any = Cluster()
    in_time(lambda: cluster.add_node(**head))
    cluster.connect()
    worker = {"num_cpus": 2, "object_store_memory": 128 * 1024**2}
    workers = [in_time(lambda: cluster.add_node(**worker)) for _ in range(2)]
    try:
        # One proxy: nodes of one machine share its ports.
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        serve.run(build(_args(directory)), name="rayroom")
        up = {"url": f"http://127.0.0.1:{port}", "address": cluster.address, "journal": str(directory / "journal.db")}
        print(json.dumps(up), flush=True)
        for _ in sys.stdin:
            cluster.remove_node(workers.pop(), allow_graceful=False)
            print(json.dumps({"killed": True}), flush=True)
        serve.shutdown()  # type: ignore[no-untyped-call]
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
