"""A simulation loses no request, is deterministic for a seed, and scales like a real cluster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cluster.lab.results.record import Run
from cluster.lab.scenario.arrivals import ScheduledRooms
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.experiment import simulate
from cluster.lab.simulator.metrics import Histogram
from cluster.lab.simulator.overrides import with_policy
from cluster.lab.simulator.replicas import Replicas, start_speed
from cluster.lab.simulator.request_queue import NO_REQUESTS, QueuedRequests, RequestQueue
from cluster.lab.simulator.room_uploads import RoomUploads
from routing.errors import ConfigurationError
from tests.support.experiments import KEPT_SHARE, experiment

BURST: dict[str, Any] = {
    "length_s": 180,
    "warm_up_s": 30,
    "arrivals": {"kind": "burst", "rooms": 60, "burst_rooms": 400, "at_s": 90, "over_s": 15, "lasts_s": 60},
    "scaling": {
        "router": {"min_replicas": 4, "max_replicas": 4},
        "vision": {
            "max_replicas": 60,
            "target_ongoing_requests": 8,
            "max_ongoing_requests": 10,
            "max_queued_requests": 10,
        },
    },
    "targets": {"p95_ms": 6_000, "shed_share": 0.1},
}
SLOW_START = {
    "model.cold_start_from_s": 4,
    "model.cold_start_to_s": 5,
    "model.starts_at_once": 20,
    "scaling.vision.rooms_ahead.ahead_s": 5,
}


def total(run: Run, name: str) -> int:
    return int(np.sum(run.traffic.column(name).to_numpy()))


@pytest.mark.parametrize(
    "parts",
    [
        {},
        BURST,
        {"rooms": {"frames_per_second": 3.0, "stay_s": 5, "talk_share": 0.5, "question_every_s": 2}},
        {"vendors": {"faults": [{"vendor": "gemini", "from_s": 5, "to_s": 20, "share": 0.9}]}},
        {"scaling": {"vision": {"max_replicas": 1, "max_ongoing_requests": 1, "max_queued_requests": 0}}},
        {"scaling": {"vision": {"max_replicas": 1, "max_ongoing_requests": 1, "max_queued_requests": -1}}},
    ],
)
def test_every_frame_is_a_repeat_answered_shed_or_failed(parts: dict[str, Any]) -> None:
    run = simulate(experiment(**parts))
    columns = {name: run.traffic.column(name).to_numpy() for name in run.traffic.column_names}
    assert total(run, "seen") > 0
    assert (columns["seen"] == columns["repeats"] + columns["kept"]).all()
    assert (columns["kept"] == columns["answered"] + columns["shed"] + columns["failed"]).all()
    assert sum(run.tenants.column("answered").to_pylist()) == total(run, "answered")
    assert sum(run.tenants.column("seen").to_pylist()) == total(run, "seen")


def test_a_run_is_deterministic_for_a_seed() -> None:
    first, second = simulate(experiment()), simulate(experiment())
    other = simulate(experiment({"seed": 8}))
    for name in ("replicas", "traffic", "latency", "tenants", "events"):
        assert getattr(first, name).equals(getattr(second, name))
    assert not first.traffic.equals(other.traffic)


def test_a_room_is_sampled_once_a_second_and_keeps_its_changed_frames() -> None:
    run = simulate(experiment(length_s=200))
    assert total(run, "seen") == pytest.approx(40 * 200, rel=0.01)
    assert total(run, "kept") / total(run, "seen") == pytest.approx(KEPT_SHARE, abs=0.03)


def test_without_queueing_the_answer_time_is_the_published_latency() -> None:
    totals = simulate(experiment()).summary.totals
    assert totals.p50_ms == pytest.approx(900, rel=0.1)
    assert totals.own_p50_ms == pytest.approx(Assumptions().own_ms, rel=0.1)


def test_ray_overprovisions_because_it_counts_queued_requests() -> None:
    run = simulate(experiment(SLOW_START | {"scaling.vision.max_queued_requests": 200}, **BURST))
    vision = [row for row in run.replicas.to_pylist() if row["deployment"] == "vision"]
    peak = max(row["target_replicas"] for row in vision)
    settled = [row["ongoing"] / 8 for row in vision if 130 <= row["at_s"] <= 145]
    assert peak >= 1.3 * max(settled)


def test_rooms_ahead_misses_fewer_seconds_than_ray_with_no_more_replicas() -> None:
    missed, replicas = {}, {}
    for policy in ("ray", "rooms-ahead"):
        runs = [simulate(with_policy(experiment(SLOW_START | {"seed": seed}, **BURST), policy)) for seed in (1, 2, 3)]
        missed[policy] = sum(run.summary.totals.slo_missing_s or 0 for run in runs)
        replicas[policy] = sum(run.summary.totals.replica_seconds["vision"] for run in runs)
    assert missed["rooms-ahead"] < missed["ray"]
    assert replicas["rooms-ahead"] <= replicas["ray"]


def test_requests_of_a_failing_vendor_fall_back_to_the_next_model() -> None:
    fault = {"vendor": "openai", "from_s": 0, "to_s": 30, "share": 1.0}
    run = simulate(experiment(vendors={"faults": [fault]}))
    assert run.summary.details["fell_back"] > 0 and total(run, "failed") == 0
    faults = [row["what"] for row in run.events.to_pylist() if row["kind"] == "fault"]
    assert faults == ["begins: 100% answer 503", "is over"]


def test_an_unknown_vendor_is_named() -> None:
    fault = {"vendor": "gemni", "from_s": 0, "to_s": 30}
    with pytest.raises(ConfigurationError, match=r"vendors\.faults\.0\.vendor: gemni"):
        simulate(experiment(vendors={"faults": [fault]}))


def requests(*sent_s: float) -> QueuedRequests:
    return QueuedRequests(due_s=np.array(sent_s), sent_s=np.array(sent_s), room=np.arange(len(sent_s)))


def test_a_queue_fills_its_slots_then_its_queue_and_sheds_the_rest() -> None:
    pool = RequestQueue(slots_of_replica=2, max_queued=1, max_wait_s=5.0)
    pool.advance()
    admitted = pool.admit(requests(0.0, 0.01, 0.02, 0.03), running=1, now_s=0.0)
    assert (len(admitted.started), len(pool.queue), len(admitted.shed)) == (2, 1, 1)
    pool.serve(np.array([0.1, 0.3]), np.zeros(2), now_s=0.1, tick_s=0.1)
    pool.advance()
    assert pool.in_service == 1
    assert len(pool.admit(NO_REQUESTS, running=1, now_s=0.1).started) == 1


def test_a_request_that_waited_too_long_expires() -> None:
    pool = RequestQueue(slots_of_replica=1, max_queued=-1, max_wait_s=5.0)
    pool.admit(requests(0.0), running=0, now_s=0.0)
    assert len(pool.admit(NO_REQUESTS, running=1, now_s=5.1).expired) == 1


def test_a_stopped_replica_finishes_its_requests() -> None:
    pool = RequestQueue(slots_of_replica=10, max_queued=0, max_wait_s=5.0)
    pool.advance()
    started = pool.admit(requests(*[0.0] * 20), running=2, now_s=0.0).started
    pool.serve(np.full(len(started), 0.5), np.zeros(20), now_s=0.1, tick_s=0.1)
    pool.stop(stopped=1, running_before=2, rng=np.random.default_rng(1))
    assert 0 < pool.draining < 20 and pool.load == 20
    for _ in range(6):
        pool.advance()
    assert pool.load == 0


def test_a_newer_frame_displaces_the_waiting_one() -> None:
    zero = np.zeros(1)
    rooms = ScheduledRooms(
        join_at_s=zero,
        leave_at_s=zero + 100,
        tenant=np.zeros(1, dtype=np.int64),
        recording=np.zeros(1, dtype=np.int64),
        starts_at=np.zeros(1, dtype=np.int64),
        talks=np.zeros(1, dtype=np.bool_),
    )
    uploads = RoomUploads(rooms)
    first = uploads.offer(requests(0.0), to_s=0.1).sent
    uploads.record_end(first, ends_s=np.array([2.5]), vendor_s=np.array([2.0]))
    assert len(uploads.offer(requests(1.0), to_s=1.1).sent) == 0
    assert uploads.offer(requests(2.0), to_s=2.1).displaced.due_s.tolist() == [1.0]
    released = uploads.offer(NO_REQUESTS, to_s=2.6).sent
    assert (released.due_s[0], released.sent_s[0]) == (2.0, 2.5)
    waited_s = uploads.record_end(released, ends_s=np.array([3.0]), vendor_s=np.array([0.4]))
    assert waited_s[0] == pytest.approx(0.5 * 2.0 / 2.5), "of the wait, the vendors' part is that of the answer before"


def test_replicas_that_start_together_share_the_start_capacity() -> None:
    assumptions, rng = Assumptions(cold_start_from_s=1, cold_start_to_s=1, starts_at_once=2), np.random.default_rng(1)
    replicas = Replicas(running=1)
    replicas.scale_to(5, assumptions, rng)
    assert start_speed(4, assumptions) == 0.5
    replicas.advance(1.0, start_speed(4, assumptions))
    assert replicas.running == 1
    replicas.advance(1.0, 0.5)
    assert replicas.running == 5
    assert replicas.scale_to(2, assumptions, rng) == 3 and replicas.running == 2


def test_the_quantiles_of_a_histogram_are_within_half_a_percent() -> None:
    values = np.random.default_rng(1).lognormal(6, 0.5, 50_000)
    histogram = Histogram()
    histogram.add(values)
    for share in (0.5, 0.95, 0.99):
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.006)
