"""The soak finds a leak of each kind, and takes neither noise nor a filling cache for one."""

from __future__ import annotations

import os
import random

import pytest

from cluster.lab.scenario.scenario import Scenario
from tests.soak.__main__ import scenario
from tests.soak.growth import LoopSample, ProcessSample, growths
from tests.soak.loops import loop_tasks
from tests.soak.processes import SampledProcesses, name_of

LENGTH_S = 600.0


def samples(**leaks_an_hour: float) -> list[ProcessSample]:
    rng, taken = random.Random(7), []
    for at_s in range(0, int(LENGTH_S) + 1, 5):
        # A cache that fills during the first minutes, and noise.
        filled = 100.0 + 50.0 * min(1.0, at_s / 200.0)
        values = {
            "memory_mb": filled + rng.uniform(-4, 4),
            "files": 40,
            "sockets": 60 + rng.randint(-3, 3),
            "threads": 20,
        }
        for name, an_hour in leaks_an_hour.items():
            values[name] += an_hour * at_s / 3_600.0
        whole = {name: round(values[name]) for name in ("files", "sockets", "threads")}
        taken.append(ProcessSample(at_s=at_s, memory_mb=values["memory_mb"], **whole))
    return taken


def test_noise_and_a_cache_that_fills_during_the_warm_up_are_no_growth() -> None:
    assert all(growth.holds for growth in growths(samples(), 0.0, LENGTH_S))


@pytest.mark.parametrize(
    ("figure", "an_hour"), [("memory_mb", 240.0), ("files", 120.0), ("sockets", 200.0), ("threads", 60.0)]
)
def test_a_leak_of_each_kind_is_found_and_named(figure: str, an_hour: float) -> None:
    grew = [growth.figure for growth in growths(samples(**{figure: an_hour}), 0.0, LENGTH_S) if not growth.holds]
    assert grew == [figure]


def test_tasks_that_pile_up_on_an_event_loop_are_found() -> None:
    loop = [LoopSample(at_s=at_s, tasks=20 + at_s % 7 + at_s / 5) for at_s in range(0, int(LENGTH_S) + 1, 5)]
    assert [growth.holds for growth in growths(loop, 0.0, LENGTH_S)] == [False]


def test_the_tasks_of_requests_that_wait_for_a_slow_vendor_are_no_growth() -> None:
    loop = [LoopSample(at_s=at_s, tasks=200 if at_s > 400 and at_s % 60 else 20) for at_s in range(0, 601, 5)]
    assert [growth.holds for growth in growths(loop, 0.0, LENGTH_S)] == [True]


def test_the_tasks_of_each_replica_and_of_the_aggregator_are_read_from_a_node_s_metrics() -> None:
    text = (
        "# TYPE ray_rayroom_event_loop_tasks gauge\n"
        'ray_rayroom_event_loop_tasks{deployment="llm",replica="a1",WorkerId="f"} 12.0\n'
        'ray_rayroom_event_loop_tasks{deployment="router",replica="b2",WorkerId="e"} 31.0\n'
        'ray_rayroom_costs_event_loop_tasks{shard="0"} 9.0\n'
        'ray_rayroom_rooms{shard="0"} 200.0\n'
    )
    assert loop_tasks(text) == {"llm a1": 12.0, "router b2": 31.0, "aggregator 0": 9.0}


def test_a_process_that_did_not_live_to_the_end_is_left_out() -> None:
    assert growths(samples()[:60], 0.0, LENGTH_S) == []


def test_this_process_is_sampled_with_its_open_files() -> None:
    sampled = SampledProcesses(os.getpid())
    with open(__file__, encoding="utf-8"):
        sampled.sample(0.0)
    (mine,) = [taken[0] for key, taken in sampled.samples.items() if key[0] == os.getpid()]
    assert mine.memory_mb > 10 and mine.files >= 1 and mine.threads >= 1


def test_a_process_is_named_by_its_title_module_or_program() -> None:
    assert name_of(["ray::ServeReplica:rayroom:router"]) == "ray::ServeReplica:rayroom:router"
    assert name_of(["/usr/bin/python", "-m", "cluster.lab.load.shard_process", "7"]) == "cluster.lab.load.shard_process"
    assert name_of(["python", "-c", "from cluster.cli.main import main; main()", "emulate"]) == "-c emulate"
    assert name_of(["/opt/haproxy", "-f", "x"]) == "haproxy" and name_of([]) == "?"


@pytest.mark.parametrize("length_s", [60.0, 1_800.0])
def test_the_scenario_of_a_soak_is_one_that_the_load_accepts(length_s: float) -> None:
    parsed = Scenario.model_validate(scenario(200, length_s))
    assert parsed.vendors.faults and parsed.vendors.faults[-1].to_s <= length_s
