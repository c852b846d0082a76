"""Decides how many replicas the open rooms will need once a new one has started. Knows no Ray and reads no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from deployments.common.settings import Settings
from routing.validation import Count, Seconds, Share

Deployment = Literal["router", "vision", "llm", "embeddings"]
USUAL_ROOM_S = 100.0
"""So many seconds of a room weigh as much as the usual rate does that was configured."""
LEARNED_SHARE = 0.02
"""How much of the learned answer time each look at a replica's load makes up: some five seconds at ten looks each."""


class RoomsAheadSettings(Settings):
    """What rooms-ahead counts with."""

    ahead_s: Seconds = 3
    """How far ahead it looks: a cold start (1.3 to 1.5 s alone, up to 4.4 s when six start together, measured on four
    cores with Ray 2.60)."""
    requests_per_s: Annotated[float, Field(gt=0)] | None = None
    """What one replica answers a second at its target of ongoing requests, as `rayroom load --find-max` measures it.
    Without it: the target over the time an answer takes, which is learned from what is going on."""
    answer_s: Seconds = 0.8
    """How long an answer takes until that has been learned; the median of the shipped profiles."""
    headroom: Annotated[float, Field(ge=1, le=10)] = 1.0
    """How much more than the forecast is kept ready, beyond what lies between a replica's target and its limit."""
    requests_per_room_s: Annotated[float, Field(ge=0)] = 0.15
    """What a room asks a second until the rooms have said it: the frames that are kept at one look a second."""
    floor: Count = 1
    """Replicas that are kept while any room is open."""
    shrink_share: Share = 0.75
    """The part of the replicas that may go at once; Serve's own downscale_delay_s lies between two such steps."""
    stale_s: Seconds = 10
    """A signal that is older than this is not believed: Ray's own policy decides."""
    poll_every_s: Seconds = 0.5
    """How often the aggregator is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSignal:
    """What is known of the rooms, and how old that is."""

    open_rooms: int
    joins_per_s: float
    growth_per_s: float
    """Joins beyond departures."""
    requests_per_room_s: Mapping[str, float]
    """By service, without a room's first frame; a service that no room has said anything of is not in it."""
    room_s: float = 0.0
    """The seconds of rooms that this is the mean of."""
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentLoad:
    """A deployment as Ray's metrics show it."""

    target_replicas: int
    ongoing: float
    """With those that are queued."""
    queued: float
    target_ongoing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedReplicas:
    """The replicas that are wanted, before Serve's bounds and delays, and why."""

    replicas: float
    why: str


def decide(
    signal: RoomSignal | None,
    deployment: Deployment,
    load: DeploymentLoad,
    answer_s: float,
    ray_wants: float,
    settings: RoomsAheadSettings,
) -> WantedReplicas:
    """Return what is wanted: Ray's own answer where the signal is missing or stale, or says nothing of this one."""
    if signal is None:
        return WantedReplicas(replicas=ray_wants, why="ray: no signal")
    if signal.age_s > settings.stale_s:
        return WantedReplicas(replicas=ray_wants, why=f"ray: the signal is {signal.age_s:.0f} s old")
    a_room = requests_of_a_room(signal, deployment, settings)
    if a_room is None:
        return WantedReplicas(replicas=ray_wants, why=f"ray: the rooms say nothing of {deployment}")
    demand = demand_ahead(signal, deployment, a_room, settings)
    need = demand * settings.headroom / capacity(load.target_ongoing, answer_s, settings)
    least = settings.floor if signal.open_rooms else 0
    held = math.floor(load.target_replicas * (1 - settings.shrink_share))
    rooms = f"{signal.open_rooms} rooms, {signal.growth_per_s:+.1f}/s"
    return WantedReplicas(replicas=max(need, least, held), why=f"rooms-ahead: {rooms}, {demand:.1f} requests/s")


def demand_ahead(signal: RoomSignal, deployment: Deployment, a_room: float, settings: RoomsAheadSettings) -> float:
    """Return the requests a second that the rooms will make `ahead_s` from now.

    What was said is old: the growth of that time is counted too. A room that joins shows its first frame at once.
    """
    rooms = signal.open_rooms + signal.growth_per_s * (settings.ahead_s + signal.age_s)
    return a_room * rooms + (signal.joins_per_s if deployment in ("router", "vision") else 0.0)


def requests_of_a_room(signal: RoomSignal, deployment: Deployment, settings: RoomsAheadSettings) -> float | None:
    """Return what a room asks of a deployment a second: the router has all of it. None where nothing is known."""
    said = signal.requests_per_room_s
    if deployment in ("llm", "embeddings"):
        return said.get(deployment)
    usual = settings.requests_per_room_s
    known = signal.room_s / (signal.room_s + USUAL_ROOM_S)
    vision = known * said.get("vision", usual) + (1 - known) * usual
    return vision if deployment == "vision" else vision + said.get("llm", 0.0)


def capacity(target_ongoing: float, answer_s: float, settings: RoomsAheadSettings) -> float:
    """Return the requests a second that one replica answers at its target."""
    return settings.requests_per_s or target_ongoing / answer_s


def learn(answer_s: float, load: DeploymentLoad, requests_per_s: float) -> float:
    """Return the time an answer takes, by Little's law, moved a little towards what is going on.

    A queue would make demand of itself, so nothing is learned while there is one.
    """
    if load.queued >= 1 or load.ongoing < 1 or requests_per_s <= 0:
        return answer_s
    return answer_s + LEARNED_SHARE * (load.ongoing / requests_per_s - answer_s)
