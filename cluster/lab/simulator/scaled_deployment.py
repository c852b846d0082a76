"""A simulated deployment: Ray's own autoscaler decides the number of its replicas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluster.aggregator.autoscaling_policy import RoomsAhead
from cluster.app import autoscaling_config
from cluster.config.settings import ScalingSettings
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.ray_autoscaler import RayAutoscaler, VirtualClock, virtual_time
from cluster.lab.simulator.replicas import Replicas
from cluster.lab.simulator.room_signals import RoomSignals
from cluster.rooms.forecast import Deployment


@dataclass(frozen=True, slots=True)
class ScalingStep:
    """One decision: its event where the target changed, and the number of replicas that it stopped."""

    event: Mapping[str, Any] | None
    stopped: int


@dataclass(slots=True)
class ScaledDeployment:
    """The state of one deployment."""

    name: Deployment
    scaling: ScalingSettings
    autoscaler: RayAutoscaler
    replicas: Replicas

    @classmethod
    def started(
        cls,
        name: Deployment,
        scaling: ScalingSettings,
        signals: RoomSignals,
        clock: VirtualClock,
        rng: np.random.Generator,
        handles: int,
    ) -> ScaledDeployment:
        """Return a deployment with its least number of replicas, scaled by the policy of its settings."""
        uses_rooms_ahead = scaling.policy == "rooms-ahead"
        ray_scaling = scaling.model_copy(update={"policy": "ray"}) if uses_rooms_ahead else scaling
        policy = RoomsAhead(name, scaling.rooms_ahead.model_dump(), signals) if uses_rooms_ahead else None
        with virtual_time(clock):
            autoscaler = RayAutoscaler(
                name,
                autoscaling_config(name, ray_scaling),
                clock,
                rng,
                replicas=scaling.min_replicas,
                handles=handles,
                policy=policy,
            )
        return cls(name, scaling, autoscaler, Replicas(autoscaler.replicas))

    def decide(self, now_s: float, assumptions: Assumptions, rng: np.random.Generator) -> ScalingStep:
        """Let the autoscaler decide, and start or stop replicas."""
        before = self.autoscaler.replicas
        target, reason = self.autoscaler.decide()
        event = None
        if target != before:
            change = f"{before} -> {target}; {reason}"
            event = {"at_s": now_s, "kind": "scale", "where": self.name, "what": change}
        stopped = self.replicas.scale_to(target, assumptions, rng)
        if stopped:
            self.autoscaler.set_running(self.replicas.running)
        return ScalingStep(event, stopped)
