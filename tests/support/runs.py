"""Synthetic runs for the tests of the reports: a burst of rooms on a small cluster."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cluster.lab.results import record
from cluster.lab.results.record import Machine, Run, Summary, TargetVerdict, Totals, table

LENGTH_S = 180
DEPLOYMENTS = ("router", "vision", "llm")


def open_rooms(second: int) -> int:
    return 20 if second < 60 else min(200, 20 + 6 * (second - 60))


def traffic(length_s: int = LENGTH_S) -> list[dict[str, Any]]:
    """Return a row a second: each room has a frame, a seventh of them is kept, and some are shed in the burst."""
    rows = []
    for second in range(length_s):
        frames = open_rooms(second)
        kept, shed = frames // 7, 4 if 65 <= second < 85 else 0
        shed = min(shed, kept)
        counts = {"seen": frames, "repeats": frames - kept, "kept": kept, "answered": kept - shed, "shed": shed}
        p50_ms = 640 + 80 * math.sin(second / 9) + (900 if shed else 0)
        times = {"p50_ms": p50_ms, "p95_ms": 2.4 * p50_ms, "own_p95_ms": 18.0 + (700 if shed else 0)}
        rows.append({"at_s": float(second), "rooms": frames, "failed": 0, "questions": frames // 60, **counts, **times})
    return rows


def replicas(length_s: int = LENGTH_S) -> list[dict[str, Any]]:
    rows = []
    for second in range(length_s):
        for number, name in enumerate(DEPLOYMENTS):
            wanted = open_rooms(second) / (25 * (number + 1))
            running = max(1, math.ceil(open_rooms(max(0, second - 12)) / (25 * (number + 1))))
            queued = max(0.0, 5 * (wanted - running))
            row = {"deployment": name, "running_replicas": running, "target_replicas": max(1, math.ceil(wanted))}
            load = {"ongoing": 16 * wanted, "queued": queued, "wanted_replicas": wanted}
            rows.append({"at_s": float(second), **row, **load})
    return rows


def latency() -> list[dict[str, Any]]:
    quantiles = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
    return [
        {"service": service, "part": part, "quantile": quantile, "ms": min_ms * (1 + 9 * quantile**6)}
        for service, part, min_ms in (("vision", "whole", 480.0), ("vision", "own", 9.0), ("llm", "whole", 350.0))
        for quantile in quantiles
    ]


def tenant(name: str, seen: int = 7_000, **changes: Any) -> dict[str, Any]:
    kept = seen // 7
    every_kept_nanousd = kept * 3_200_000
    row = {"tenant": name, "room_hours": seen / 3_600, "seen": seen, "kept": kept, "answered": kept}
    row |= {"every_frame_nanousd": seen * 3_200_000, "changed_only_nanousd": every_kept_nanousd}
    row |= {"changed_small_nanousd": kept * 2_300_000, "cost_nanousd": kept * 480_000}
    return row | changes


EVENTS: tuple[dict[str, Any], ...] = (
    {"at_s": 66.0, "kind": "scale", "where": "vision", "what": "1 to 4 replicas: 88 ongoing, 16 a replica wanted"},
    {"at_s": 68.5, "kind": "breaker", "where": "gemini-3.5-flash-lite", "what": "closed to open after 5 failures"},
    {"at_s": 69.0, "kind": "fallback", "where": "vision", "what": "gemini-3.5-flash-lite to gpt-6-luna, 12 requests"},
    {"at_s": 70.0, "kind": "fault", "where": "gemini", "what": "503 for half of the answers until 0:01:40"},
)


def summary(**changes: Any) -> Summary:
    rows = traffic()
    sums = {key: sum(row[key] for row in rows) for key in ("seen", "repeats", "kept", "answered", "shed", "failed")}
    times = {"p50_ms": 655.0, "p95_ms": 2_310.0, "p99_ms": 4_020.0, "own_p50_ms": 9.2, "own_p95_ms": 47.0}
    totals = Totals(
        seconds=LENGTH_S,
        rooms_peak=200,
        room_hours=sums["seen"] / 3_600,
        replica_seconds={"router": 900.0, "vision": 480.0, "llm": 360.0},
        slo_missing_s=20.0,
        cost_nanousd=1_234_567_890,
        driver_cpu_s=41.0,
        app_cpu_s=96.0,
        **sums,
        **times,
    )
    fields: dict[str, Any] = {
        "kind": "load",
        "name": "nine-oclock",
        "command": "rayroom load nine-oclock",
        "started_at": "2026-11-25T09:00:00+00:00",
        "machine": Machine(cpus=2, memory_gib=7.8, platform="Linux", python="3.11.2", versions={"ray": "2.60.0"}),
        "scenario": {"name": "nine-oclock", "seed": 7, "arrivals": {"kind": "burst", "rooms": 20, "burst_rooms": 180}},
        "totals": totals,
        "verdicts": (
            TargetVerdict(target="p95_ms", limit=3_000, seen=2_310.0, held=True),
            TargetVerdict(target="shed_share", limit=0.01, seen=0.0223, held=False),
        ),
        "notes": ("The driver took 30 % of the processor time of this machine.",),
    }
    return Summary(**(fields | changes))


def sample_run(**changes: Any) -> Run:
    """Return a run with rows in every table; `changes` replace fields of its summary."""
    return Run(
        summary=summary(**changes),
        replicas=table(record.REPLICAS, replicas()),
        traffic=table(record.TRAFFIC, traffic()),
        latency=table(record.LATENCY, latency()),
        tenants=table(record.TENANTS, [tenant("acme"), tenant("globex", 3_500)]),
        events=table(record.EVENTS, EVENTS),
    )


def with_tenants(run: Run, *rows: dict[str, Any]) -> Run:
    return replace(run, tenants=table(record.TENANTS, rows))


def empty_run(**changes: Any) -> Run:
    """Return a run that ended before its first frame: empty tables, and None in every optional field."""
    counts = dict.fromkeys(("seen", "repeats", "kept", "answered", "shed", "failed", "rooms_peak"), 0)
    totals = Totals(seconds=0.0, room_hours=0.0, **counts)
    empty = {name: table(schema) for name, schema in record.SCHEMAS.items()}
    fields: dict[str, Any] = {"totals": totals, "verdicts": (), "notes": (), "complete": False}
    return Run(summary=summary(**(fields | changes)), **empty)
