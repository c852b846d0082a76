"""Compute what `rayroom top` shows, from two scrapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.cli.top.scrape import Key, Scrape, quantiles
from routing.telemetry.metrics import BORROWED
from routing.units import NANOUSD_PER_USD

PREFIXES = ("ray_rayroom_", "rayroom_dispatch_", *BORROWED)
"""The beginnings of the metrics that are parsed; BORROWED are Ray Serve's."""
_OURS = "ray_rayroom_"
_AGENT = f"{_OURS}agent_"
_COSTS = f"{_OURS}costs_"
BREAKER_NAMES = ("closed", "half open", "open")
TENANTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomsNow:
    """The rooms and their agents. None stands for a figure that needs traffic."""

    open: int
    unattended: int | None
    """None without the metrics of `rayroom dispatch`."""
    frames_per_s: Mapping[str, float]
    look_ms: float | None
    first_sound_ms: float | None
    cores_a_room: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TierNow:
    service: str
    requests_per_s: float
    complex_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNow:
    """One model of one vendor."""

    vendor: str
    model: str
    attempts_per_s: float
    failed_share: float | None
    p95_s: float | None
    first_token_p95_s: float | None
    breaker: str
    usd_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentNow:
    name: str
    target: int | None
    running: int
    waiting: int
    ongoing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyNow:
    usd_per_hour: float
    usd_per_room_hour: float | None
    behind_s: float
    unsent: int
    parked: int
    tenants_usd: Sequence[tuple[str, float]]
    """The tenants that spend most this month, the largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The app at one moment, and over the time since the scrape before."""

    rooms: RoomsNow
    tiers: Sequence[TierNow]
    models: Sequence[ModelNow]
    deployments: Sequence[DeploymentNow]
    money: MoneyNow
    requests_per_s: float
    failed_share: float | None
    errors_per_s: Sequence[tuple[str, str, float]]
    """Route, code and rate, the most frequent first."""


def overview(before: Scrape, now: Scrape) -> Overview:
    """Return the overview between two scrapes, the second of which is later."""
    grown = now.since(before)
    seconds = max(grown.at_s, 1e-9)
    requests, failed = (
        grown.total(f"{_OURS}requests_total"),
        grown.total(f"{_OURS}requests_total", status="5xx"),
    )
    errors = [
        (route, code, count / seconds)
        for (route, code), count in grown.by(f"{_OURS}request_errors_total", "route", "code").items()
        if count
    ]
    return Overview(
        rooms=_rooms(now, grown, seconds),
        tiers=_tiers(grown, seconds),
        models=_models(now, grown, seconds),
        deployments=_deployments(now),
        money=_money(now, grown, seconds),
        requests_per_s=requests / seconds,
        failed_share=_share(failed, requests),
        errors_per_s=sorted(errors, key=lambda one: -one[2]),
    )


def _rooms(now: Scrape, grown: Scrape, seconds: float) -> RoomsNow:
    frames = ("seen", "kept", "muted", "reused", "shed", "unreadable")
    counts = {name: grown.total(f"{_AGENT}frames_{name}_total") for name in frames}
    rooms = now.total(f"{_OURS}rooms")
    unattended = now.by("rayroom_dispatch_unattended_rooms")
    cores = grown.total(f"{_AGENT}cpu_ms_total") / 1_000 / seconds
    sounds = grown.total(f"{_AGENT}voice_first_sounds_total")
    return RoomsNow(
        open=int(rooms),
        unattended=int(sum(unattended.values())) if unattended else None,
        frames_per_s={name: count / seconds for name, count in counts.items()},
        look_ms=_share(grown.total(f"{_AGENT}look_ms_total"), counts["seen"]),
        first_sound_ms=_share(grown.total(f"{_AGENT}voice_first_sound_ms_total"), sounds),
        cores_a_room=_share(cores, rooms),
    )


def _tiers(grown: Scrape, seconds: float) -> list[TierNow]:
    decided = grown.by(f"{_OURS}decisions_total", "service")
    strong = grown.by(f"{_OURS}decisions_total", "service", tier="complex")
    return [
        TierNow(
            service=service, requests_per_s=count / seconds, complex_share=_share(strong.get((service,), 0.0), count)
        )
        for (service,), count in sorted(decided.items())
    ]


def _models(now: Scrape, grown: Scrape, seconds: float) -> list[ModelNow]:
    names = ("vendor", "model")
    attempts = grown.by(f"{_OURS}attempts_total", *names)
    failed = grown.by(f"{_OURS}attempts_total", *names, outcome="error")
    cost = grown.by(f"{_OURS}cost_nanousd_total", *names)
    p95 = quantiles(grown, f"{_OURS}attempt_seconds", 0.95, *names)
    first = quantiles(grown, f"{_OURS}first_token_seconds", 0.95, *names)
    breakers = now.most(f"{_OURS}breaker_state", "model")

    def model(key: Key) -> ModelNow:
        vendor, name = key
        count = attempts.get(key, 0.0)
        return ModelNow(
            vendor=vendor,
            model=name,
            attempts_per_s=count / seconds,
            failed_share=_share(failed.get(key, 0.0), count),
            p95_s=p95.get(key),
            first_token_p95_s=first.get(key),
            breaker=BREAKER_NAMES[int(breakers.get((name,), 0.0))],
            usd_per_hour=_usd_per_hour(cost.get(key, 0.0), seconds),
        )

    return [model(key) for key in sorted(attempts.keys() | cost.keys())]


def _deployments(now: Scrape) -> list[DeploymentNow]:
    target = now.most("ray_serve_autoscaling_target_replicas", "deployment")
    running = now.by("ray_serve_deployment_replica_healthy", "deployment")
    waiting = now.by("ray_serve_deployment_queued_queries", "deployment")
    ongoing = now.by("ray_serve_replica_processing_queries", "deployment")
    return [
        DeploymentNow(
            name=name,
            target=int(target[name,]) if (name,) in target else None,
            running=int(running.get((name,), 0)),
            waiting=int(waiting.get((name,), 0)),
            ongoing=int(ongoing.get((name,), 0)),
        )
        for (name,) in sorted(target.keys() | running.keys())
    ]


def _money(now: Scrape, grown: Scrape, seconds: float) -> MoneyNow:
    usd_per_hour = _usd_per_hour(grown.total(f"{_OURS}cost_nanousd_total"), seconds)
    tenants = now.by(f"{_OURS}top_tenant_nanousd", "tenant")
    ranked = sorted(((name, spent / NANOUSD_PER_USD) for (name,), spent in tenants.items()), key=lambda one: -one[1])
    return MoneyNow(
        usd_per_hour=usd_per_hour,
        usd_per_room_hour=_share(usd_per_hour, now.total(f"{_OURS}rooms")),
        behind_s=max(now.most(f"{_COSTS}journal_lag_seconds").values(), default=0.0),
        unsent=int(now.total(f"{_COSTS}unsent_windows")),
        parked=int(now.total(f"{_COSTS}parked_windows")),
        tenants_usd=[(name, spent) for name, spent in ranked if spent > 0][:TENANTS],
    )


def _usd_per_hour(nanousd: float, seconds: float) -> float:
    return nanousd / NANOUSD_PER_USD / seconds * 3_600


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
