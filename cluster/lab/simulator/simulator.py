"""Run a scenario in virtual time against an autoscaler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluster.config.settings import AppSettings
from cluster.lab.emulator.core.capacity import VendorLoad
from cluster.lab.scenario.arrivals import Floats, ScheduledRooms
from cluster.lab.scenario.recorded_screens import RecordedScreens
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.metrics import SimulatorMetrics
from cluster.lab.simulator.ray_autoscaler import VirtualClock, virtual_time
from cluster.lab.simulator.replicas import start_speed
from cluster.lab.simulator.request_queue import NO_REQUESTS, QueuedRequests, RequestQueue
from cluster.lab.simulator.room_signals import RoomSignals
from cluster.lab.simulator.room_uploads import RoomUploads
from cluster.lab.simulator.scaled_deployment import ScaledDeployment
from cluster.lab.simulator.vendor_model import VendorDraw, VendorModel
from cluster.lab.simulator.workload import Workload, WorkloadPeriod
from cluster.rooms.forecast import Deployment, RoomsAheadSettings
from deployments.handles import GRACE_S

DRAIN_S = 120.0
"""The wait for requests in flight at the end; unanswered ones then count as failed."""
SERVICES: tuple[Deployment, ...] = ("vision", "llm")
MAX_HANDLES = 4
MAX_UTILISATION = 0.95
"""At most this share of a core is busy, so that times stay finite."""


@dataclass(slots=True)
class SimulationResult:
    """The result of a simulation."""

    figures: SimulatorMetrics
    replica_rows: list[Mapping[str, Any]] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    replica_s: dict[str, float] = field(default_factory=dict)
    """After the warm-up."""
    fallbacks: int = 0
    in_flight: int = 0
    """Requests still in flight after the final wait."""


class Simulator:
    """A scenario's rooms and simulated replicas; Ray's own code decides the number of replicas."""

    def __init__(
        self,
        scenario: Scenario,
        rooms: ScheduledRooms,
        recordings: RecordedScreens,
        app: AppSettings,
        vendor_models: Mapping[str, VendorModel],
        assumptions: Assumptions,
    ) -> None:
        rng = np.random.default_rng(scenario.seed)
        # One random stream for each part, so that a policy's decisions do not change the rooms.
        self._replica_rng, self._vendor_rng, rooms_rng, ray_rng = rng.spawn(4)
        self._scenario, self._app, self._vendor_models, self._assumptions = scenario, app, vendor_models, assumptions
        self._demand = Workload(rooms, scenario.rooms, recordings, rooms_rng)
        tenants = int(rooms.tenant.max(initial=-1)) + 1
        self._uploads = RoomUploads(rooms)
        self._result = SimulationResult(SimulatorMetrics(scenario.length_s, scenario.warm_up_s, rooms.tenant, tenants))
        self._clock = VirtualClock()
        self._signals = RoomSignals(self._clock, rooms, app.rooms.heartbeat_every_s, RoomsAheadSettings().poll_every_s)
        self._handles = min(MAX_HANDLES, scenario.scaling.router.min_replicas)
        names: tuple[Deployment, ...] = ("router", *SERVICES)
        self._deployments = {
            name: ScaledDeployment.started(
                name, getattr(scenario.scaling, name), self._signals, self._clock, ray_rng, self._handles
            )
            for name in names
        }
        self._pools = {name: self._pool(name) for name in SERVICES}
        self._waiting: dict[str, QueuedRequests] = dict.fromkeys(SERVICES, NO_REQUESTS)
        self._ticks = 0
        self._rate = 0.0
        """The recent requests a second, which keep the machine busy."""

    def run(self, watch: Callable[[float], None] = lambda _: None) -> SimulationResult:
        """Return the result of the scenario; `watch` receives the virtual time reached."""
        tick_s = self._assumptions.tick_s
        periods = self._demand.periods(self._scenario.length_s, self._uploads.lost)
        next_period = next(periods, None)
        with virtual_time(self._clock):
            for number in range(round(self._scenario.length_s / tick_s)):
                while next_period is not None and next_period.from_s < (number + 1) * tick_s:
                    self._receive(next_period)
                    next_period = next(periods, None)
                self._tick()
                watch(self._clock.now_s)
            self._drain()
        return self._result

    def _pool(self, name: Deployment) -> RequestQueue:
        scaling, service = self._deployments[name].scaling, getattr(self._app, name)
        max_queued = scaling.max_queued_requests
        return RequestQueue(
            scaling.max_ongoing_requests,
            max_queued * self._handles if max_queued > 0 else max_queued,
            service.attempt_timeout_s + GRACE_S,
        )

    def _receive(self, period: WorkloadPeriod) -> None:
        self._result.figures.add_period(period)
        self._signals.record(period)
        frames = QueuedRequests(due_s=period.kept_at_s, sent_s=period.kept_at_s, room=period.kept_rooms)
        questions = QueuedRequests(due_s=period.question_at_s, sent_s=period.question_at_s, room=period.question_rooms)
        self._waiting = {
            "vision": self._waiting["vision"].concat(frames),
            "llm": self._waiting["llm"].concat(questions),
        }

    def _tick(self) -> None:
        from_s, tick_s = self._clock.now_s, self._assumptions.tick_s
        self._ticks += 1
        self._clock.now_s = round(self._ticks * tick_s, 9)
        self._signals.advance()
        started = 0
        for name in SERVICES:
            self._pools[name].advance()
            started += self._answer(name, self._arrivals(name), from_s, tick_s)
        self._rate += (started / tick_s - self._rate) * min(1.0, tick_s)
        self._scale(tick_s)
        self._sample(from_s, tick_s)

    def _arrivals(self, name: str) -> QueuedRequests:
        """Return the due requests that a router admits; the rest is shed."""
        waiting = self._waiting[name]
        arrived, self._waiting[name] = waiting.split(int(np.searchsorted(waiting.due_s, self._clock.now_s)))
        if name == "vision":
            offered = self._uploads.offer(arrived, self._clock.now_s)
            self._result.figures.add_lost(name, "shed", offered.displaced)
            arrived = offered.sent
        router = self._deployments["router"]
        capacity = router.replicas.running * min(router.scaling.max_ongoing_requests, self._app.fairness.slots)
        admitted, shed = arrived.split(max(0, capacity - self._in_flight()))
        self._count_lost(name, "shed", shed)
        return admitted

    def _answer(self, name: Deployment, arrived: QueuedRequests, from_s: float, tick_s: float) -> int:
        """Start the requests that find a slot, and count their outcomes; return the number of started ones."""
        pool = self._pools[name]
        admitted = pool.admit(arrived, self._deployments[name].replicas.running, from_s)
        self._count_lost(name, "shed", admitted.shed)
        self._count_lost(name, "failed", admitted.expired)
        started = admitted.started
        if not len(started):
            return 0
        vendor_draw = self._vendor_models[name].draw(
            self._vendor_rng, from_s, len(started), self._vendor_slowdown(pool)
        )
        self._result.fallbacks += vendor_draw.fallbacks
        starts_s = np.maximum(started.sent_s, from_s)
        own_s = self._own_s(name, len(started), tick_s)
        durations_s = own_s + vendor_draw.vendor_s
        pool.serve(durations_s, starts_s, self._clock.now_s, tick_s)
        if name == "vision":
            whole_s = starts_s + durations_s - started.due_s
            waited_s = self._uploads.record_end(started, starts_s + durations_s, vendor_draw.vendor_s)
            self._count(name, started, whole_s, whole_s - vendor_draw.vendor_s - waited_s, vendor_draw)
        else:
            # A question counts as answered when its answer begins.
            own_s = starts_s + own_s - started.due_s
            self._count(name, started, own_s + vendor_draw.first_s, own_s, vendor_draw)
        return len(started)

    def _count(
        self, name: Deployment, answered: QueuedRequests, whole_s: Floats, own_s: Floats, vendor_draw: VendorDraw
    ) -> None:
        figures, cost, tokens = self._result.figures, vendor_draw.cost_nanousd, vendor_draw.tokens
        if vendor_draw.failed.any():
            self._count_lost(name, "failed", answered.part(vendor_draw.failed), in_flight=True)
            succeeded = ~vendor_draw.failed
            answered, whole_s, own_s, cost, tokens = (
                answered.part(succeeded),
                whole_s[succeeded],
                own_s[succeeded],
                cost[succeeded],
                tokens[succeeded],
            )
        figures.add_answers(name, answered, whole_s, own_s, cost, tokens)

    def _count_lost(self, name: str, outcome: str, requests: QueuedRequests, in_flight: bool = False) -> None:
        """Count requests without an answer; a room that received an error sends its next frame in any case."""
        if not len(requests):
            return
        self._result.figures.add_lost(name, outcome, requests)
        if name == "vision" and in_flight:
            self._uploads.lost[requests.room] = True
        elif name == "vision":
            self._uploads.record_failure(requests, self._clock.now_s)

    def _own_s(self, name: Deployment, count: int, tick_s: float) -> Floats:
        """Draw the application's own time: longer as its cores, or the one core of each replica, fill up."""
        assumptions = self._assumptions
        replica_load = count / tick_s / self._deployments[name].replicas.running * assumptions.replica_cpu_ms / 1_000
        machine_load = self._rate * assumptions.request_cpu_ms / 1_000 / assumptions.cpus if assumptions.cpus else 0.0
        idle = 1 - min(MAX_UTILISATION, max(replica_load, machine_load))
        spread = np.exp(assumptions.own_sigma * self._vendor_rng.standard_normal(count))
        return np.asarray(assumptions.own_ms / 1_000 * spread / idle)

    def _vendor_slowdown(self, pool: RequestQueue) -> float:
        assumptions = self._assumptions
        if assumptions.vendor_free is None:
            return 1.0
        return VendorLoad(free=assumptions.vendor_free, capacity=assumptions.vendor_doubles).slowdown(
            pool.in_service + pool.draining
        )

    def _in_flight(self) -> int:
        return sum(pool.load for pool in self._pools.values())

    def _scale(self, tick_s: float) -> None:
        starting = sum(len(deployment.replicas.starting_s) for deployment in self._deployments.values())
        speed = start_speed(starting, self._assumptions)
        for deployment in self._deployments.values():
            deployment.replicas.advance(tick_s, speed)
            deployment.autoscaler.set_running(deployment.replicas.running)
            queued, ongoing = self._load(deployment.name)
            running = deployment.replicas.running
            deployment.autoscaler.observe(queued, ongoing)
            decided = deployment.decide(self._clock.now_s, self._assumptions, self._replica_rng)
            if decided.event is not None:
                self._result.events.append(decided.event)
            if decided.stopped and deployment.name in self._pools:
                self._pools[deployment.name].stop(decided.stopped, running, self._replica_rng)

    def _load(self, name: Deployment) -> tuple[int, int]:
        """Return the requests queued before a deployment, and those in service."""
        if name not in self._pools:
            return 0, self._in_flight()
        pool = self._pools[name]
        return len(pool.queue), pool.in_service

    def _sample(self, from_s: float, tick_s: float) -> None:
        for deployment in self._deployments.values():
            if self._scenario.warm_up_s <= from_s < self._scenario.length_s:
                replica_seconds = self._result.replica_s
                replica_seconds[deployment.name] = (
                    replica_seconds.get(deployment.name, 0.0) + deployment.replicas.running * tick_s
                )
        if int(self._clock.now_s) == int(from_s) or from_s >= self._scenario.length_s:
            return
        for deployment in self._deployments.values():
            queued, ongoing = self._load(deployment.name)
            self._result.replica_rows.append(
                {
                    "at_s": self._clock.now_s,
                    "deployment": deployment.name,
                    "target_replicas": deployment.autoscaler.replicas,
                    "running_replicas": deployment.replicas.running,
                    "ongoing": float(ongoing),
                    "queued": float(queued),
                    "wanted_replicas": deployment.autoscaler.demand / deployment.scaling.target_ongoing_requests,
                }
            )
        self._close()

    def _close(self) -> None:
        """Compute the figures of the seconds whose frames have all been answered or lost."""
        frames = self._pools["vision"].queue
        oldest_s = [float(frames.due_s.min(initial=np.inf)), self._uploads.oldest_s, self._clock.now_s]
        self._result.figures.close(min(oldest_s))

    def _drain(self) -> None:
        """Wait for the requests in flight; the remaining ones have failed."""
        end_s = self._clock.now_s + DRAIN_S
        while self._in_flight() and self._clock.now_s < end_s:
            self._tick()
        for name, pool in self._pools.items():
            self._result.in_flight += len(pool.queue)
            self._count_lost(name, "failed", pool.queue)
        self._result.figures.close(float("inf"))
