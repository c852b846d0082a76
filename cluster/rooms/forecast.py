"""Forecast the replicas that the open rooms will need after a cold start. Pure functions of a signal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from deployments.common.settings import Settings
from routing.validation import Count, Seconds, Share

Deployment = Literal["router", "vision", "llm", "embeddings"]
PRIOR_ROOM_S = 100.0
"""The weight of the configured request rate, in room-seconds: measured rooms outweigh it after this many."""
SMOOTHING = 0.02
"""The share of each new observation in the learned answer time: a time constant of about five seconds."""


class RoomsAheadSettings(Settings):
    """The settings of the policy `rooms-ahead`."""

    ahead_s: Seconds = 3
    """The forecast horizon, one cold start (1.3 to 1.5 s alone, up to 4.4 s when six start together, measured on four
    cores with Ray 2.60)."""
    requests_per_s: Annotated[float, Field(gt=0)] | None = None
    """The requests a second of one replica at its target of ongoing requests, as `rayroom load --find-max` measures
    them. Without it: the target over the answer time, which is learned from the ongoing requests."""
    answer_s: Seconds = 0.8
    """The answer time until one has been learned: the median of the shipped latency profiles."""
    headroom: Annotated[float, Field(ge=1, le=10)] = 1.0
    """The factor on the forecast, on top of the room between a replica's target and its limit."""
    requests_per_room_s: Annotated[float, Field(ge=0)] = 0.15
    """A room's requests a second until heartbeats report them: the kept frames at one sample a second."""
    floor: Count = 1
    """The fewest replicas while any room is open."""
    shrink_share: Share = 0.75
    """The share of the replicas that may be removed in one step; Serve's downscale_delay_s separates two steps."""
    stale_s: Seconds = 10
    """A signal older than this is ignored, and Ray's own policy decides."""
    poll_every_s: Seconds = 0.5
    """The time between two requests to the aggregator for a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSignal:
    """The open rooms and their rates, and the age of both."""

    open_rooms: int
    joins_per_s: float
    growth_per_s: float
    """Joins less departures; never negative."""
    requests_per_room_s: Mapping[str, float]
    """By service, without a room's first frame; a service without reported requests is absent."""
    room_s: float = 0.0
    """The room-seconds that the rates are the mean of."""
    age_s: float = 0.0


def joined_signal(signals: Sequence[RoomSignal]) -> RoomSignal:
    """Return the signal of all rooms from those of the shards, of which there is one at least."""
    room_s = sum(signal.room_s for signal in signals)
    services = sorted({service for signal in signals for service in signal.requests_per_room_s})
    return RoomSignal(
        open_rooms=sum(signal.open_rooms for signal in signals),
        joins_per_s=sum(signal.joins_per_s for signal in signals),
        growth_per_s=sum(signal.growth_per_s for signal in signals),
        requests_per_room_s={
            service: sum(signal.requests_per_room_s.get(service, 0.0) * signal.room_s for signal in signals) / room_s
            for service in services
        },
        room_s=room_s,
        age_s=max(signal.age_s for signal in signals),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentLoad:
    """A deployment's load, from Ray's metrics."""

    target_replicas: int
    ongoing: float
    """Includes the queued requests."""
    queued: float
    target_ongoing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaTarget:
    """The wanted replicas before Serve's bounds and delays, and the reason."""

    replicas: float
    reason: str


def decide(
    signal: RoomSignal | None,
    deployment: Deployment,
    load: DeploymentLoad,
    answer_s: float,
    ray_replicas: float,
    settings: RoomsAheadSettings,
) -> ReplicaTarget:
    """Return the wanted replicas: Ray's own number when the signal is missing, stale, or lacks this deployment."""
    if signal is None:
        return ReplicaTarget(replicas=ray_replicas, reason="ray: no signal")
    if signal.age_s > settings.stale_s:
        return ReplicaTarget(replicas=ray_replicas, reason=f"ray: the signal is {signal.age_s:.0f} s old")
    room_rate = room_request_rate(signal, deployment, settings)
    if room_rate is None:
        return ReplicaTarget(replicas=ray_replicas, reason=f"ray: no requests reported for {deployment}")
    demand = forecast_demand(signal, deployment, room_rate, settings)
    needed = demand * settings.headroom / capacity(load.target_ongoing, answer_s, settings)
    minimum = settings.floor if signal.open_rooms else 0
    shrink_limit = math.floor(load.target_replicas * (1 - settings.shrink_share))
    rooms = f"{signal.open_rooms} rooms, {signal.growth_per_s:+.1f}/s"
    return ReplicaTarget(
        replicas=max(needed, minimum, shrink_limit), reason=f"rooms-ahead: {rooms}, {demand:.1f} requests/s"
    )


def forecast_demand(
    signal: RoomSignal, deployment: Deployment, room_rate: float, settings: RoomsAheadSettings
) -> float:
    """Return the requests a second that the rooms will make `ahead_s` from now.

    The signal is old by its age, so the growth of that time counts too. A room sends its first frame as it joins.
    """
    rooms = signal.open_rooms + signal.growth_per_s * (settings.ahead_s + signal.age_s)
    return room_rate * rooms + (signal.joins_per_s if deployment in ("router", "vision") else 0.0)


def room_request_rate(signal: RoomSignal, deployment: Deployment, settings: RoomsAheadSettings) -> float | None:
    """Return a room's requests a second to a deployment; None when none are reported. The router receives them all."""
    reported = signal.requests_per_room_s
    if deployment in ("llm", "embeddings"):
        return reported.get(deployment)
    prior = settings.requests_per_room_s
    weight = signal.room_s / (signal.room_s + PRIOR_ROOM_S)
    vision = weight * reported.get("vision", prior) + (1 - weight) * prior
    return vision if deployment == "vision" else vision + reported.get("llm", 0.0)


def capacity(target_ongoing: float, answer_s: float, settings: RoomsAheadSettings) -> float:
    """Return the requests a second of one replica at its target."""
    return settings.requests_per_s or target_ongoing / answer_s


def updated_answer_s(answer_s: float, load: DeploymentLoad, requests_per_s: float) -> float:
    """Return the answer time by Little's law, smoothed over the last observations.

    Nothing is learned while requests are queued: waiting time would count as answer time, and raise the demand.
    """
    if load.queued >= 1 or load.ongoing < 1 or requests_per_s <= 0:
        return answer_s
    return answer_s + SMOOTHING * (load.ongoing / requests_per_s - answer_s)
