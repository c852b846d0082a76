"""Draw a scenario's rooms as arrays of join and leave times, the same for the same seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.lab.scenario.scenario import Burst, Day, Ramp, Scenario, Steady, Step, Tenants
from cluster.lab.scenario.trace import read_trace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RECORDINGS = 16
"""The number of different screens; a room shows one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRooms:
    """Every meeting of a scenario, in the order of joining; times in seconds from the start."""

    join_at_s: Floats
    leave_at_s: Floats
    tenant: Ints
    """Index from 0."""
    recording: Ints
    """The index of the screen that the room shows, below `RECORDINGS`."""
    starts_at: Ints
    """The second of the recording at which the room begins."""
    talks: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.join_at_s)


def tenant_name(index: int) -> str:
    return f"load-{index + 1}"


def draw_rooms(scenario: Scenario, directory: Path) -> ScheduledRooms:
    """Return the rooms of a scenario whose file lies in `directory`; raises ConfigurationError for a wrong trace."""
    rng = np.random.default_rng(scenario.seed)
    if scenario.arrivals.kind == "trace":
        join_at_s, leave_at_s, tenant = read_trace(directory / scenario.arrivals.file, scenario.length_s)
    else:
        join_at_s, leave_at_s = _joins_and_leaves(_curve(scenario), rng, scenario.length_s)
        tenant = None
    if scenario.rooms.stay_s is not None:
        if tenant is None:
            join_at_s, leave_at_s = _churn(join_at_s, leave_at_s, scenario.rooms.stay_s, rng)
    order = np.argsort(join_at_s, kind="stable")
    count = len(order)
    return ScheduledRooms(
        join_at_s=join_at_s[order],
        leave_at_s=leave_at_s[order],
        tenant=_tenants(scenario.tenants, count, rng) if tenant is None else tenant[order],
        recording=rng.integers(0, RECORDINGS, count),
        starts_at=rng.integers(0, 3_600, count),
        talks=rng.random(count) < scenario.rooms.talk_share,
    )


def _curve(scenario: Scenario) -> Ints:
    """Return the number of open rooms in each second of the scenario."""
    t_s = np.arange(math.ceil(scenario.length_s), dtype=np.float64)
    match scenario.arrivals:
        case Steady(rooms=rooms):
            open_rooms = np.full_like(t_s, rooms)
        case Ramp() as ramp:
            open_rooms = np.interp(t_s, [ramp.from_s, ramp.from_s + ramp.over_s], [ramp.from_rooms, ramp.to_rooms])
        case Step() as step:
            open_rooms = np.where(t_s < step.at_s, step.from_rooms, step.to_rooms).astype(np.float64)
        case Burst() as burst:
            open_rooms = _burst(burst, t_s)
        case Day() as day:
            turn = t_s / (day.day_s or scenario.length_s)
            open_rooms = day.low_rooms + (day.high_rooms - day.low_rooms) * (1 - np.cos(2 * math.pi * turn)) / 2
        case _:
            raise AssertionError("a trace has no curve")
    return np.rint(open_rooms).astype(np.int64)


def _burst(burst: Burst, t_s: Floats) -> Floats:
    times, rooms = [burst.at_s, burst.at_s + burst.over_s], [burst.rooms, burst.rooms + burst.burst_rooms]
    if burst.lasts_s is not None:
        leaving_s = max(burst.at_s + burst.lasts_s, times[-1])
        times += [leaving_s, leaving_s + burst.over_s]
        rooms += [rooms[-1], burst.rooms]
    return np.interp(t_s, times, rooms)


def _joins_and_leaves(open_rooms: Ints, rng: np.random.Generator, length_s: float) -> tuple[Floats, Floats]:
    """Return joins and departures that follow the number of open rooms; rooms leave in the order of joining."""
    change = np.diff(open_rooms, prepend=0)
    seconds = np.arange(len(open_rooms), dtype=np.float64)
    joins = np.repeat(seconds, np.maximum(change, 0))
    leaves = np.repeat(seconds, np.maximum(-change, 0))
    join_at_s = np.sort(joins + rng.random(len(joins)))
    leave_at_s = np.full(len(joins), length_s)
    leave_at_s[: len(leaves)] = np.maximum(np.sort(leaves + rng.random(len(leaves))), join_at_s[: len(leaves)])
    return np.minimum(join_at_s, length_s), np.minimum(leave_at_s, length_s)


def _churn(join_at_s: Floats, leave_at_s: Floats, stay_s: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Divide each room's time into meetings of exponential length; each begins when the previous one ends."""
    joins, leaves = [], []
    while len(join_at_s):
        ends_s = np.minimum(join_at_s + rng.exponential(stay_s, len(join_at_s)), leave_at_s)
        joins.append(join_at_s)
        leaves.append(ends_s)
        continues = ends_s < leave_at_s
        join_at_s, leave_at_s = ends_s[continues], leave_at_s[continues]
    return np.concatenate(joins), np.concatenate(leaves)


def _tenants(tenants: Tenants, count: int, rng: np.random.Generator) -> Ints:
    weights = 1.0 / np.arange(1, tenants.count + 1) ** tenants.skew
    return rng.choice(tenants.count, size=count, p=weights / weights.sum())
