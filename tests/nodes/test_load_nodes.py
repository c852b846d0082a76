"""A load as Ray tasks on three nodes, one of which is killed: the run ends, reports its losses, the bill is exact."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import yaml

from cluster.config.keys import AGENT
from cluster.costs.journal import read_settled_nanousd
from cluster.lab.results import record
from cluster.lab.stack import ray_node
from tests.nodes.cluster import KEYS, ROOT, three_nodes
from tests.support.load_app import ended, loading

SCENARIO = {
    "name": "three-nodes",
    "length_s": 25,
    "arrivals": {"kind": "steady", "rooms": 12},
    "rooms": {"frames_per_second": 2, "screens": {"slides": 1, "scrolling": 1}},
    "targets": {"shed_share": 1.0},
}


@pytest.mark.kills
@pytest.mark.timeout(600)
async def test_a_load_outlives_a_node_and_what_it_paid_is_in_the_journal(tmp_path: Path) -> None:
    file = tmp_path / "three.yaml"
    file.write_text(yaml.safe_dump(SCENARIO), "utf-8")
    own = {
        name: value for name, value in ray_node.ray_environment(tmp_path).items() if not name.startswith("RAY_SERVE")
    }
    environment = {**os.environ, **own, **KEYS, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    async with three_nodes(environment) as nodes:
        args = [file, "--url", nodes.url, "--ray", nodes.address, "--replay", "--processes", 3]
        async with loading(*args, "--out", tmp_path / "run", key=KEYS[AGENT], environment=environment) as process:
            assert process.stdout is not None
            async with asyncio.timeout(300):
                while b" 12 rooms, " not in (await process.stdout.readline()):
                    assert process.returncode is None
            await nodes.kill_one()
            status, said, complained = await ended(process)
        assert status == 0, said + complained
        run = record.load(tmp_path / "run")
        settled = sum(read_settled_nanousd(Path(nodes.journal)).values())
    totals, details = run.summary.totals, run.summary.details
    assert run.summary.complete and totals.answered > 0
    assert totals.kept == totals.answered + totals.shed + totals.failed
    # The node took its shard of the driver along, or a replica with frames in it: either is told.
    assert details["lost_rooms"] or totals.shed + totals.failed
    if details["lost_rooms"]:
        assert {event["kind"] for event in run.events.to_pylist()} >= {"node"}
    # The app's usage of each tenant equals its journal, and contains every received answer.
    assert sum(details["settled_nanousd"].values()) == settled >= details["answers_nanousd"] > 0
