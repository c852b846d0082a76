"""Check a run's figures against its targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cluster.lab.results import record
from cluster.lab.scenario.arrivals import Floats, Ints, ScheduledRooms
from cluster.lab.scenario.scenario import Targets


def verdicts(targets: Targets, totals: record.Totals) -> tuple[record.TargetVerdict, ...]:
    """Return a verdict for each target that is set."""
    measured = {
        "p95_ms": totals.p95_ms,
        "own_p95_ms": totals.own_p95_ms,
        "shed_share": totals.shed_share,
        "usd_per_room_hour": totals.usd_per_room_hour,
    }
    limits = {name: limit for name, limit in targets.model_dump().items() if limit is not None}
    return tuple(
        record.TargetVerdict(target=name, limit=limit, seen=value, held=value is not None and value <= limit)
        for name, limit in limits.items()
        for value in [measured[name]]
    )


def seconds_missing_targets(
    targets: Targets, kept: Ints, lost: Ints, p95_ms: Floats, own_p95_ms: Floats
) -> NDArray[np.bool_]:
    """Return for each second whether the frames due in it missed a target.

    A second without an answer has no percentile: it missed the target if frames due in it were lost.
    """
    missed_seconds = np.zeros(len(kept), dtype=np.bool_)
    if targets.shed_share is not None:
        missed_seconds |= lost > targets.shed_share * kept
    for limit, percentile in ((targets.p95_ms, p95_ms), (targets.own_p95_ms, own_p95_ms)):
        if limit is not None:
            missed_seconds |= np.where(np.isnan(percentile), lost > 0, percentile > limit)
    return missed_seconds


def room_hours(rooms: ScheduledRooms, tenants: int, from_s: float, to_s: float) -> Floats:
    """Return the hours that each tenant's rooms were open between `from_s` and `to_s`."""
    open_s = np.minimum(rooms.leave_at_s, to_s) - np.maximum(rooms.join_at_s, from_s)
    return np.asarray(np.bincount(rooms.tenant, np.maximum(open_s, 0.0), tenants) / 3_600, dtype=np.float64)
