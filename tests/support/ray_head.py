"""Start a Ray cluster of one test alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import ray

from cluster.lab.stack.plan import planned
from cluster.lab.stack.processes import Processes
from cluster.lab.stack.startup import start_ray

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def ray_head(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Run a Ray head with its files below `path`, and a connection to it."""
    with planned(ROOT, path / "run") as plan:
        async with Processes(plan.directory / "logs") as processes:
            environment = await start_ray(plan, processes, cpus=1)
            for name in (name for name in environment if name.startswith("RAY_")):
                monkeypatch.setenv(name, environment[name])
            await asyncio.to_thread(
                lambda: ray.init(address=plan.ray_address, namespace="aggregators", log_to_driver=False)
            )
            try:
                yield
            finally:
                ray.shutdown()
