"""List the metrics of the aggregator: the bill, the budgets, and the rooms with their agents."""

from __future__ import annotations

from routing.telemetry.metric import Metric

COSTS_PREFIX = "rayroom_costs_"
_COSTS = {
    "open_intents": "Reservations without a settlement.",
    "journal_lag_seconds": "The age of the oldest settled event that the backend has not stored.",
    "unsent_windows": "Windows that the backend has neither stored nor refused.",
    "parked_windows": "Windows that the backend refuses; `rayroom parked` lists them.",
    "unexpected_duplicates": "Windows that were duplicates on their first send; `rayroom parked` lists them.",
    "expired_intents": "Reservations that expired, since the aggregator started.",
    "never_left": "Expired reservations that cost nothing, because no request left.",
    "ignored_settlements": "Settlements that changed nothing: resends, and worse reports.",
    "contradictions": "Settlements sent again with other amounts; the first ones stand.",
    "corrections": "Signed rows that correct a sealed cost.",
    "budget_refusals": "Reservations over a budget.",
    "unsent_alerts": "Budget alerts that the webhook has not accepted.",
    "given_up_alerts": "Budget alerts that the webhook did not accept for three days, since the aggregator started.",
    "refused_entries": "Entries refused because too many waited, or because their figures cannot be true.",
    "seal_failures": "Rounds of sealing or expiring that failed, since the aggregator started.",
    "archive_failures": "Rounds of moving costs to month files that failed, since the aggregator started.",
    "call_records": "Call records of model replicas that are kept.",
    "dropped_call_records": "Call records dropped over the bound.",
    "rooms_left_out": "Heartbeats of rooms over the bounds of the registry, since the aggregator started.",
    "connected_replicas": "Model replicas whose call records arrive.",
    "event_loop_tasks": "Tasks of the aggregator's event loop.",
}
COST_METRICS = tuple(
    Metric(name=COSTS_PREFIX + name, kind="gauge", part="aggregator", help=text, labels=("shard",))
    for name, text in _COSTS.items()
)

ROOMS = "rayroom_rooms"
AGENT_FIGURES = "rayroom_agent_"
TENANT_SPEND = "rayroom_top_tenant_nanousd"
OTHER_TENANTS = "other"
"""The label of the tenants beyond the list."""

ROOM_COUNTERS = {
    "frames_seen": "Frames that agents looked at.",
    "frames_kept": "Frames that showed something new.",
    "frames_repeated": "Frames that showed nothing new.",
    "frames_muted": "Repeated frames in which only a muted region, such as a video, had changed.",
    "frames_unreadable": "Frames that were not decoded or have no usable picture.",
    "frames_reused": "Kept frames whose former description was used again, without a request.",
    "frames_shed": "Kept frames dropped because a newer one came, or the router refused them.",
    "answers": "Frames described.",
    "answers_lost": "Descriptions that could not be sent to the room.",
    "look_ms": "Milliseconds that agents took to look at frames, with the wait for a thread.",
    "cpu_ms": "Milliseconds of processor time of the agents' job processes.",
    "voice_answers": "Questions answered.",
    "voice_interruptions": "Answers interrupted by their asker.",
    "voice_unsure": "Texts that may be for somebody else, for which the cheap model was called.",
    "voice_silent": "Those that the cheap model answered with silence.",
    "voice_unsure_refused": "Those beyond the limit of a room, which count as not addressed.",
    "voice_questions_shed": "Questions dropped for newer ones of the same participant.",
    "voice_first_sounds": "Answers whose first sound left.",
    "voice_first_sound_ms": "Milliseconds from the end of speech to the first sound, added up.",
}
"""The counters of heartbeats that the aggregator adds up over rooms; any other name of a heartbeat is left out."""

ROOM_METRICS = (
    Metric(name=ROOMS, kind="gauge", part="aggregator", help="Open rooms.", labels=("shard",)),
    *(
        Metric(name=AGENT_FIGURES + name, kind="counter", part="aggregator", help=text, labels=("shard",))
        for name, text in ROOM_COUNTERS.items()
    ),
    Metric(
        name=TENANT_SPEND,
        kind="gauge",
        part="aggregator",
        help="Spend of this month by tenant, of those that spend most; all others are `other`.",
        labels=("shard", "tenant"),
        values={"tenant": (OTHER_TENANTS,)},
    ),
)
