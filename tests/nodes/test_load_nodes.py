"""A load test on three nodes survives the loss of one, reports its losses, and its costs are exact."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import yaml

from cluster.config.keys import AGENT
from cluster.costs.journal_reader import read_settled_nanousd
from cluster.lab.results import record
from cluster.lab.stack import ray_node
from tests.nodes.cluster import KEYS, ROOT, three_nodes
from tests.support.load_app import running_load, wait_for_exit

SCENARIO = {
    "name": "three-nodes",
    "length_s": 25,
    "arrivals": {"kind": "steady", "rooms": 12},
    "rooms": {"frames_per_second": 2, "screens": {"slides": 1, "scrolling": 1}},
    "targets": {"shed_share": 1.0},
}


@pytest.mark.kills
@pytest.mark.timeout(600)
async def test_a_load_survives_the_loss_of_a_node_and_its_costs_are_in_the_journal(tmp_path: Path) -> None:
    file = tmp_path / "three.yaml"
    file.write_text(yaml.safe_dump(SCENARIO), "utf-8")
    ray_settings = {
        name: value for name, value in ray_node.ray_environment(tmp_path).items() if not name.startswith("RAY_SERVE")
    }
    environment = {**os.environ, **ray_settings, **KEYS, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    async with three_nodes(environment) as nodes:
        args = [file, "--url", nodes.url, "--ray", nodes.address, "--replay", "--processes", 3]
        async with running_load(*args, "--out", tmp_path / "run", key=KEYS[AGENT], environment=environment) as process:
            assert process.stdout is not None
            async with asyncio.timeout(300):
                while b" 12 rooms, " not in (await process.stdout.readline()):
                    assert process.returncode is None
            await nodes.kill_worker()
            status, output, errors = await wait_for_exit(process)
        assert status == 0, output + errors
        run = record.load(tmp_path / "run")
        settled = sum(read_settled_nanousd(Path(nodes.journal)).values())
    totals, details = run.summary.totals, run.summary.details
    assert run.summary.complete and totals.answered > 0
    assert totals.kept == totals.answered + totals.shed + totals.failed
    # The node ran a part of the driver or a replica with requests; the run reports either loss.
    assert details["lost_rooms"] or totals.shed + totals.failed
    if details["lost_rooms"]:
        assert {event["kind"] for event in run.events.to_pylist()} >= {"node"}
    # The app's usage of each tenant equals its journal, and contains every received answer.
    assert sum(details["settled_nanousd"].values()) == settled >= details["answers_nanousd"] > 0
