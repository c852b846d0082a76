"""The search for the largest number of rooms, the schedule of faults, and the samples of the app."""

from __future__ import annotations

import pytest

from cluster.lab.load.faults import fault_changes, fault_request
from cluster.lab.load.find_max import find_max
from cluster.lab.load.prometheus import AppSamples, read_sample
from cluster.lab.scenario.scenario import VendorFault


@pytest.mark.parametrize(("limit", "expected"), [(1_000, 1_000), (137, 137), (7, 7), (1, 1), (0, 0), (10**9, 20_000)])
async def test_the_search_approaches_the_limit(limit: int, expected: int) -> None:
    tried: list[int] = []

    async def holds(rooms: int) -> bool:
        tried.append(rooms)
        return rooms <= limit

    largest = await find_max(holds, 100, 20_000)
    assert largest <= expected and expected <= largest * 1.06 + 1
    assert len(tried) == len(set(tried)) and len(tried) < 20
    assert largest == 0 or largest in tried


def test_overlapping_faults_are_each_active_for_their_own_time() -> None:
    first = VendorFault(vendor="openai", from_s=10, to_s=30)
    second = VendorFault(vendor="gemini", from_s=20, to_s=40, share=0.5, status=None, slower_by_s=2)
    assert fault_changes([first, second]) == [(10, (first,)), (20, (first, second)), (30, (second,)), (40, ())]
    assert fault_request(first)["fault"] == {"status": 503, "delay_s": 0.0}
    assert fault_request(second) | {"times": 1} == {
        "fault": {"delay_s": 2.0}, "vendor": "gemini", "times": 1, "share": 0.5
    }  # fmt: skip


def metrics_text(target: int, running: int, opened: int) -> str:
    """Return the metrics of a node in the format of Ray 2.60."""
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


def test_a_sample_sums_over_replicas_and_computes_the_wanted_replicas() -> None:
    (row,) = read_sample([metrics_text(target=2, running=2, opened=0)]).rows(5.0)
    assert row == {
        "at_s": 5.0,
        "deployment": "vision",
        "target_replicas": 2,
        "running_replicas": 2,
        "ongoing": 7.0,
        "queued": None,
        "wanted_replicas": 1.5,
    }


def test_a_change_between_samples_is_an_event() -> None:
    samples = AppSamples()
    for at_s, (target, opened) in enumerate([(1, 4), (1, 4), (3, 6), (3, 6)]):
        samples.add(read_sample([metrics_text(target=target, running=1, opened=opened)]), float(at_s))
    assert [(event["at_s"], event["kind"], event["where"], event["what"]) for event in samples.events] == [
        (2.0, "scale", "vision", "1 to 3 replicas"),
        (2.0, "breaker", "m", "open, in 2 replicas"),
    ]
    assert len(samples.replicas) == 4
