"""Check a run's figures against its targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.lab.results import record
from cluster.lab.scenario.arrivals import Floats, Ints, ScheduledRooms
from cluster.lab.scenario.scenario import Targets


def verdicts(targets: Targets, totals: record.Totals) -> tuple[record.TargetVerdict, ...]:
    """Return a verdict for each target that is named."""
    seen = {
        "p95_ms": totals.p95_ms,
        "own_p95_ms": totals.own_p95_ms,
        "shed_share": totals.shed_share,
        "usd_per_room_hour": totals.usd_per_room_hour,
    }
    named = {name: limit for name, limit in targets.model_dump().items() if limit is not None}
    return tuple(
        record.TargetVerdict(target=name, limit=limit, seen=at, held=at is not None and at <= limit)
        for name, limit in named.items()
        for at in [seen[name]]
    )


def missed(targets: Targets, kept: Ints, lost: Ints, p95_ms: Floats, own_p95_ms: Floats) -> NDArray[np.bool_]:
    """Return, second by second, whether the frames that were due in it missed a target.

    A second without an answer has no percentile: it missed if frames were due in it and lost.
    """
    missing = np.zeros(len(kept), dtype=np.bool_)
    if targets.shed_share is not None:
        missing |= lost > targets.shed_share * kept
    for limit, percentile in ((targets.p95_ms, p95_ms), (targets.own_p95_ms, own_p95_ms)):
        if limit is not None:
            missing |= np.where(np.isnan(percentile), lost > 0, percentile > limit)
    return missing


def room_hours(rooms: ScheduledRooms, tenants: int, from_s: float, to_s: float) -> Floats:
    """Return how long the rooms of each tenant were open within a time."""
    open_s = np.minimum(rooms.leave_at_s, to_s) - np.maximum(rooms.join_at_s, from_s)
    return np.asarray(np.bincount(rooms.tenant, np.maximum(open_s, 0.0), tenants) / 3_600, dtype=np.float64)
