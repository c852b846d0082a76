"""The parts of a load that decide: the search for the most rooms, the faults' moments, the samples of the app."""

from __future__ import annotations

import pytest

from cluster.lab.load.faults import changes, planned
from cluster.lab.load.find_max import find_max
from cluster.lab.load.prometheus import AppSamples, read_sample
from cluster.lab.scenario.scenario import VendorFault


@pytest.mark.parametrize(("limit", "found"), [(1_000, 1_000), (137, 137), (7, 7), (1, 1), (0, 0), (10**9, 20_000)])
async def test_the_search_comes_close_to_the_limit(limit: int, found: int) -> None:
    asked: list[int] = []

    async def holds(rooms: int) -> bool:
        asked.append(rooms)
        return rooms <= limit

    most = await find_max(holds, 100, 20_000)
    assert most <= found and found <= most * 1.06 + 1
    assert len(asked) == len(set(asked)) and len(asked) < 20
    assert most == 0 or most in asked


def test_faults_that_overlap_are_each_on_for_their_own_time() -> None:
    first = VendorFault(vendor="openai", from_s=10, to_s=30)
    second = VendorFault(vendor="gemini", from_s=20, to_s=40, share=0.5, status=None, slower_by_s=2)
    assert changes([first, second]) == [(10, (first,)), (20, (first, second)), (30, (second,)), (40, ())]
    assert planned(first)["fault"] == {"status": 503, "delay_s": 0.0}
    assert planned(second) | {"times": 1} == {
        "fault": {"delay_s": 2.0}, "vendor": "gemini", "times": 1, "share": 0.5
    }  # fmt: skip


def told(target: int, running: int, opened: int) -> str:
    """The output of a node's endpoint, as Ray 2.60 writes it."""
    labels = 'Component="core_worker",application="rayroom",deployment="vision"'
    healthy = "".join(
        f'ray_serve_deployment_replica_healthy{{{labels},replica="r{number}"}} 1.0\n' for number in range(running)
    )
    return (
        "# TYPE ray_serve_autoscaling_target_replicas gauge\n"
        f"ray_serve_autoscaling_target_replicas{{{labels}}} {target}.0\n"
        f"ray_serve_autoscaling_total_requests{{{labels}}} 24.0\n"
        f"ray_serve_autoscaling_target_ongoing_requests{{{labels}}} 16.0\n"
        f"{healthy}"
        f'ray_serve_replica_processing_queries{{{labels},replica="r0"}} 3.0\n'
        f'ray_serve_replica_processing_queries{{{labels},replica="r1"}} 4.0\n'
        f'ray_rayroom_breaker_transitions_total{{deployment="router",model="m",to="open"}} {opened}.0\n'
        "ray_node_cpu 12.5\n"
    )


def test_a_sample_is_summed_over_replicas_and_says_what_is_wanted() -> None:
    (row,) = read_sample([told(target=2, running=2, opened=0)]).rows(5.0)
    assert row == {
        "at_s": 5.0,
        "deployment": "vision",
        "target_replicas": 2,
        "running_replicas": 2,
        "ongoing": 7.0,
        "queued": None,
        "wanted_replicas": 1.5,
    }


def test_what_changes_from_sample_to_sample_is_an_event() -> None:
    watched = AppSamples()
    for at_s, (target, opened) in enumerate([(1, 4), (1, 4), (3, 6), (3, 6)]):
        watched.add(read_sample([told(target=target, running=1, opened=opened)]), float(at_s))
    assert [(event["at_s"], event["kind"], event["where"], event["what"]) for event in watched.events] == [
        (2.0, "scale", "vision", "1 to 3 replicas"),
        (2.0, "breaker", "m", "open, in 2 replicas"),
    ]
    assert len(watched.replicas) == 4
