"""Run a scenario in virtual time against an autoscaler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluster.aggregator.autoscaling_policy import RoomsAhead
from cluster.app import autoscaling_config
from cluster.config.settings import AppSettings, ScalingSettings
from cluster.lab.emulator.core.capacity import VendorLoad as VendorLoad
from cluster.lab.scenario.arrivals import Floats, ScheduledRooms
from cluster.lab.scenario.recorded_screens import RecordedScreens
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.metrics import SimulatorMetrics
from cluster.lab.simulator.ray_autoscaler import RayAutoscaler, VirtualClock, virtual_time
from cluster.lab.simulator.replicas import Replicas, start_speed
from cluster.lab.simulator.request_queue import NONE, QueuedRequests, RequestQueue
from cluster.lab.simulator.room_signals import RoomSignals
from cluster.lab.simulator.room_uploads import RoomUploads
from cluster.lab.simulator.vendor_model import VendorDraw, VendorModel
from cluster.lab.simulator.workload import Workload, WorkloadPeriod
from cluster.rooms.forecast import Deployment, RoomsAheadSettings
from deployments.handles import GRACE_S

DRAIN_S = 120.0
"""The wait for requests in flight at the end; unanswered ones then count as failed."""
SERVICES: tuple[Deployment, ...] = ("vision", "llm")
MOST_HANDLES = 4
MOST_BUSY = 0.95
"""The smallest share of a core: a twentieth."""


@dataclass(slots=True)
class _Deployment:
    """The state of one deployment."""

    name: Deployment
    scaling: ScalingSettings
    autoscaler: RayAutoscaler
    replicas: Replicas


@dataclass(slots=True)
class SimulationResult:
    """The result of a simulation."""

    figures: SimulatorMetrics
    replica_rows: list[Mapping[str, Any]] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    replica_s: dict[str, float] = field(default_factory=dict)
    """After the warm-up."""
    fell_back: int = 0
    left_over: int = 0
    """Requests still in flight after the final wait."""


class Simulator:
    """A scenario's rooms before simulated replicas; Ray's own code decides the number of replicas."""

    def __init__(
        self,
        scenario: Scenario,
        rooms: ScheduledRooms,
        takes: RecordedScreens,
        app: AppSettings,
        mixes: Mapping[str, VendorModel],
        assumptions: Assumptions,
    ) -> None:
        rng = np.random.default_rng(scenario.seed)
        # One random stream for each part, so that a policy's decisions do not change the rooms.
        self._fleet_dice, self._vendor_dice, rooms_dice, ray_dice = rng.spawn(4)
        self._scenario, self._app, self._mixes, self._assumptions = scenario, app, mixes, assumptions
        self._demand = Workload(rooms, scenario.rooms, takes, rooms_dice)
        tenants = int(rooms.tenant.max(initial=-1)) + 1
        self._senders = RoomUploads(rooms)
        self._done = SimulationResult(SimulatorMetrics(scenario.length_s, scenario.warm_up_s, rooms.tenant, tenants))
        self._clock = VirtualClock()
        self._signals = RoomSignals(self._clock, rooms, app.rooms.heartbeat_every_s, RoomsAheadSettings().poll_every_s)
        self._handles = min(MOST_HANDLES, scenario.scaling.router.min_replicas)
        names: tuple[Deployment, ...] = ("router", *SERVICES)
        self._deployments = {name: self._deployment(name, ray_dice) for name in names}
        self._pools = {name: self._pool(name) for name in SERVICES}
        self._waiting: dict[str, QueuedRequests] = dict.fromkeys(SERVICES, NONE)
        self._ticks = 0
        self._rate = 0.0
        """The recent requests a second, which keep the machine busy."""

    def run(self, watch: Callable[[float], None] = lambda _: None) -> SimulationResult:
        """Return the result of the scenario; `watch` receives the virtual time reached."""
        tick_s = self._assumptions.tick_s
        periods = self._demand.periods(self._scenario.length_s, self._senders.lost)
        coming = next(periods, None)
        with virtual_time(self._clock):
            for number in range(round(self._scenario.length_s / tick_s)):
                while coming is not None and coming.from_s < (number + 1) * tick_s:
                    self._take_in(coming)
                    coming = next(periods, None)
                self._tick()
                watch(self._clock.now_s)
            self._drain()
        return self._done

    def _deployment(self, name: Deployment, rng: np.random.Generator) -> _Deployment:
        scaling: ScalingSettings = getattr(self._scenario.scaling, name)
        ahead = scaling.policy == "rooms-ahead"
        shown = scaling.model_copy(update={"policy": "ray"}) if ahead else scaling
        policy = RoomsAhead(name, scaling.rooms_ahead.model_dump(), self._signals) if ahead else None
        with virtual_time(self._clock):
            autoscaler = RayAutoscaler(
                name,
                autoscaling_config(name, shown),
                self._clock,
                rng,
                replicas=scaling.min_replicas,
                handles=self._handles,
                policy=policy,
            )
        return _Deployment(name, scaling, autoscaler, Replicas(autoscaler.replicas))

    def _pool(self, name: Deployment) -> RequestQueue:
        scaling, service = self._deployments[name].scaling, getattr(self._app, name)
        most = scaling.max_queued_requests
        return RequestQueue(
            scaling.max_ongoing_requests,
            most * self._handles if most > 0 else most,
            service.attempt_timeout_s + GRACE_S,
        )

    def _take_in(self, period: WorkloadPeriod) -> None:
        self._done.figures.period(period)
        self._signals.hear(period)
        frames = QueuedRequests(due_s=period.kept_at_s, sent_s=period.kept_at_s, room=period.kept)
        questions = QueuedRequests(due_s=period.asked_at_s, sent_s=period.asked_at_s, room=period.asked)
        self._waiting = {"vision": self._waiting["vision"].then(frames), "llm": self._waiting["llm"].then(questions)}

    def _tick(self) -> None:
        from_s, tick_s = self._clock.now_s, self._assumptions.tick_s
        self._ticks += 1
        self._clock.now_s = round(self._ticks * tick_s, 9)
        self._signals.move()
        begun = 0
        for name in SERVICES:
            self._pools[name].turn()
            begun += self._answer(name, self._arrivals(name), from_s, tick_s)
        self._rate += (begun / tick_s - self._rate) * min(1.0, tick_s)
        self._scale(tick_s)
        self._sample(from_s, tick_s)

    def _arrivals(self, name: str) -> QueuedRequests:
        """Return the due requests that find a place in a router; the rest is turned away."""
        waiting = self._waiting[name]
        arrived, self._waiting[name] = waiting.cut(int(np.searchsorted(waiting.due_s, self._clock.now_s)))
        if name == "vision":
            offered = self._senders.offer(arrived, self._clock.now_s)
            self._done.figures.lost(name, "shed", offered.displaced)
            arrived = offered.sent
        router = self._deployments["router"]
        places = router.replicas.running * min(router.scaling.max_ongoing_requests, self._app.fairness.slots)
        let_in, shed = arrived.cut(max(0, places - self._in_flight()))
        self._lose(name, "shed", shed)
        return let_in

    def _answer(self, name: Deployment, arrived: QueuedRequests, from_s: float, tick_s: float) -> int:
        """Start the requests that find a slot, and count their outcomes; return how many started."""
        pool = self._pools[name]
        admitted = pool.admit(arrived, self._deployments[name].replicas.running, from_s)
        self._lose(name, "shed", admitted.shed)
        self._lose(name, "failed", admitted.expired)
        begun = admitted.begun
        if not len(begun):
            return 0
        drawn = self._mixes[name].draw(self._vendor_dice, from_s, len(begun), self._vendor_slowdown(pool))
        self._done.fell_back += drawn.fell_back
        begins_s = np.maximum(begun.sent_s, from_s)
        own_s = self._own_s(name, len(begun), tick_s)
        lasts_s = own_s + drawn.vendor_s
        pool.serve(lasts_s, begins_s, self._clock.now_s, tick_s)
        if name == "vision":
            whole_s = begins_s + lasts_s - begun.due_s
            waited_s = self._senders.began(begun, begins_s + lasts_s, drawn.vendor_s)
            self._count(name, begun, whole_s, whole_s - drawn.vendor_s - waited_s, drawn)
        else:
            # A question counts as answered when its answer begins.
            own_s = begins_s + own_s - begun.due_s
            self._count(name, begun, own_s + drawn.first_s, own_s, drawn)
        return len(begun)

    def _count(
        self, name: Deployment, begun: QueuedRequests, whole_s: Floats, own_s: Floats, drawn: VendorDraw
    ) -> None:
        figures, cost, tokens = self._done.figures, drawn.cost_nanousd, drawn.tokens
        if drawn.failed.any():
            self._lose(name, "failed", begun.part(drawn.failed), in_flight=True)
            ok = ~drawn.failed
            begun, whole_s, own_s, cost, tokens = begun.part(ok), whole_s[ok], own_s[ok], cost[ok], tokens[ok]
        figures.answered(name, begun, whole_s, own_s, cost, tokens)

    def _lose(self, name: str, how: str, requests: QueuedRequests, in_flight: bool = False) -> None:
        """Count requests without an answer; a room that received an error sends its next frame in any case."""
        if not len(requests):
            return
        self._done.figures.lost(name, how, requests)
        if name == "vision" and in_flight:
            self._senders.lost[requests.room] = True
        elif name == "vision":
            self._senders.refused(requests, self._clock.now_s)

    def _own_s(self, name: Deployment, count: int, tick_s: float) -> Floats:
        """Draw the application's own time: longer as its cores, or the one core of each replica, fill up."""
        assumed = self._assumptions
        a_replica = count / tick_s / self._deployments[name].replicas.running * assumed.replica_cpu_ms / 1_000
        machine = self._rate * assumed.request_cpu_ms / 1_000 / assumed.cpus if assumed.cpus else 0.0
        idle = 1 - min(MOST_BUSY, max(a_replica, machine))
        spread = np.exp(assumed.own_sigma * self._vendor_dice.standard_normal(count))
        return np.asarray(assumed.own_ms / 1_000 * spread / idle)

    def _vendor_slowdown(self, pool: RequestQueue) -> float:
        assumed = self._assumptions
        if assumed.vendor_free is None:
            return 1.0
        return VendorLoad(free=assumed.vendor_free, capacity=assumed.vendor_doubles).slowdown(
            pool.in_service + pool.draining
        )

    def _in_flight(self) -> int:
        return sum(pool.load for pool in self._pools.values())

    def _scale(self, tick_s: float) -> None:
        starting = sum(len(one.replicas.starting_s) for one in self._deployments.values())
        speed = start_speed(starting, self._assumptions)
        for one in self._deployments.values():
            one.replicas.move(tick_s, speed)
            one.autoscaler.set_running(one.replicas.running)
            queued, ongoing = self._load(one.name)
            one.autoscaler.observe(queued, ongoing)
            self._decide(one)

    def _decide(self, one: _Deployment) -> None:
        before, running = one.autoscaler.replicas, one.replicas.running
        target, why = one.autoscaler.decide()
        if target != before:
            self._done.events.append(
                {"at_s": self._clock.now_s, "kind": "scale", "where": one.name, "what": f"{before} -> {target}; {why}"}
            )
        stopped = one.replicas.aim(target, self._assumptions, self._fleet_dice)
        if stopped:
            one.autoscaler.set_running(one.replicas.running)
            if one.name in self._pools:
                self._pools[one.name].stop(stopped, running, self._fleet_dice)

    def _load(self, name: Deployment) -> tuple[int, int]:
        """Return the requests queued before a deployment, and those in service."""
        if name not in self._pools:
            return 0, self._in_flight()
        pool = self._pools[name]
        return len(pool.queue), pool.in_service

    def _sample(self, from_s: float, tick_s: float) -> None:
        for one in self._deployments.values():
            if self._scenario.warm_up_s <= from_s < self._scenario.length_s:
                counted = self._done.replica_s
                counted[one.name] = counted.get(one.name, 0.0) + one.replicas.running * tick_s
        if int(self._clock.now_s) == int(from_s) or from_s >= self._scenario.length_s:
            return
        for one in self._deployments.values():
            queued, ongoing = self._load(one.name)
            self._done.replica_rows.append(
                {
                    "at_s": self._clock.now_s,
                    "deployment": one.name,
                    "target_replicas": one.autoscaler.replicas,
                    "running_replicas": one.replicas.running,
                    "ongoing": float(ongoing),
                    "queued": float(queued),
                    "wanted_replicas": one.autoscaler.demand / one.scaling.target_ongoing_requests,
                }
            )
        self._close()

    def _close(self) -> None:
        """Compute the figures of the seconds whose frames have all been answered or lost."""
        frames = self._pools["vision"].queue
        oldest_s = [float(frames.due_s.min(initial=np.inf)), self._senders.oldest_s, self._clock.now_s]
        self._done.figures.close(min(oldest_s))

    def _drain(self) -> None:
        """Wait for the requests in flight; the remaining ones have failed."""
        end_s = self._clock.now_s + DRAIN_S
        while self._in_flight() and self._clock.now_s < end_s:
            self._tick()
        for name, pool in self._pools.items():
            self._done.left_over += len(pool.queue)
            self._lose(name, "failed", pool.queue)
        self._done.figures.close(float("inf"))
