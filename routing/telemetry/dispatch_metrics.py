"""List the metrics of `rayroom dispatch`."""

from __future__ import annotations

from routing.telemetry.metric import Kind, Metric

DISPATCH_PREFIX = "rayroom_dispatch_"
UNATTENDED_BUCKETS_S = (0.5, 1, 2, 3, 5, 8, 13, 21, 34, 60, 300)


def _dispatch(
    name: str, kind: Kind, text: str, /, *labels: str, buckets: tuple[float, ...] = (), **values: tuple[str, ...]
) -> Metric:
    return Metric(
        name=DISPATCH_PREFIX + name,
        kind=kind,
        part="dispatch",
        help=text,
        labels=labels,
        values=values,
        buckets=buckets,
    )


DISPATCH_METRICS = (
    _dispatch("steps", "counter", "Steps carried out.", "step", "reason"),
    _dispatch("webhooks", "counter", "Webhooks by outcome.", "outcome", outcome=("taken", "repeated", "refused")),
    _dispatch("heartbeats", "counter", "Heartbeats of workers by outcome.", "outcome", outcome=("taken", "refused")),
    _dispatch("lost_workers", "counter", "Workers that ended without saying so."),
    _dispatch("livekit_failures", "counter", "Calls of LiveKit that failed.", "code"),
    _dispatch("looks", "counter", "Looks at a room."),
    _dispatch("dropped_rooms", "gauge", "Rooms dropped over the bound, since the start."),
    _dispatch("rooms", "gauge", "Rooms of tenants in LiveKit."),
    _dispatch("unattended_rooms", "gauge", "Rooms with people and without an agent."),
    _dispatch("refused_workers", "gauge", "Heartbeats of workers over the bound, since the start."),
    _dispatch("workers", "gauge", "Workers whose heartbeats arrive."),
    _dispatch(
        "unattended_seconds",
        "histogram",
        "The time that a room with people was without an agent.",
        buckets=UNATTENDED_BUCKETS_S,
    ),
)
