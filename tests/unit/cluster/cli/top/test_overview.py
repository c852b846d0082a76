"""`rayroom top` computes its figures from two scrapes, by metrics that exist."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console

from cluster.cli.top.overview import PREFIXES, Overview, overview
from cluster.cli.top.scrape import Key, Scrape, parse, quantiles
from cluster.cli.top.view import view
from routing.telemetry.metrics import BORROWED, METRICS

BEFORE = """
# TYPE ray_rayroom_requests_total counter
ray_rayroom_requests_total{route="/v1/frames",status="2xx",replica="a"} 100
ray_rayroom_requests_total{route="/v1/frames",status="5xx",replica="a"} 5
ray_rayroom_attempts_total{service="vision",vendor="openai",model="luna",tier="simple",outcome="ok",replica="a"} 50
ray_rayroom_cost_nanousd_total{service="vision",vendor="openai",model="luna",kind="reported",replica="a"} 7
python_gc_objects_collected_total 4
"""
NOW = """
ray_rayroom_rooms{shard="0"} 4
ray_rayroom_requests_total{route="/v1/frames",status="2xx",replica="a"} 190
ray_rayroom_requests_total{route="/v1/frames",status="5xx",replica="a"} 15
ray_rayroom_request_errors_total{route="/v1/frames",code="overloaded",replica="a"} 10
ray_rayroom_decisions_total{service="vision",tier="simple",replica="a"} 30
ray_rayroom_decisions_total{service="vision",tier="complex",replica="a"} 10
ray_rayroom_attempts_total{service="vision",vendor="openai",model="luna",tier="simple",outcome="ok",replica="a"} 80
ray_rayroom_attempts_total{service="vision",vendor="openai",model="luna",tier="simple",outcome="error",replica="a"} 10
ray_rayroom_attempt_seconds_bucket{service="vision",vendor="openai",model="luna",le="0.5",replica="a"} 10
ray_rayroom_attempt_seconds_bucket{service="vision",vendor="openai",model="luna",le="1.0",replica="a"} 29
ray_rayroom_attempt_seconds_bucket{service="vision",vendor="openai",model="luna",le="+Inf",replica="a"} 30
ray_rayroom_cost_nanousd_total{service="vision",vendor="openai",model="luna",kind="reported",replica="a"} 1000000007
ray_rayroom_cost_nanousd_total{service="llm",vendor="google",model="lite",kind="reported",replica="b"} 500000000
ray_rayroom_breaker_state{model="luna",replica="a"} 0
ray_rayroom_breaker_state{model="luna",replica="b"} 2
ray_rayroom_agent_frames_seen_total{shard="0"} 40
ray_rayroom_agent_look_ms_total{shard="0"} 800
ray_rayroom_agent_cpu_ms_total{shard="0"} 2000
ray_rayroom_costs_journal_lag_seconds{shard="0"} 3
ray_rayroom_costs_journal_lag_seconds{shard="1"} 12
ray_rayroom_costs_parked_windows{shard="1"} 2
ray_rayroom_top_tenant_nanousd{shard="0",tenant="acme"} 2000000000
ray_rayroom_top_tenant_nanousd{shard="1",tenant="acme"} 1000000000
ray_rayroom_top_tenant_nanousd{shard="0",tenant="globex"} 9000000000
ray_rayroom_top_tenant_nanousd{shard="0",tenant="other"} 0
ray_serve_autoscaling_target_replicas{deployment="vision",replica="x"} 3
ray_serve_autoscaling_target_replicas{deployment="vision",replica="y"} 3
ray_serve_deployment_replica_healthy{deployment="vision",replica="x"} 1
ray_serve_deployment_replica_healthy{deployment="vision",replica="y"} 1
ray_serve_replica_processing_queries{deployment="vision",replica="x"} 4
"""


def shown(before: str = BEFORE, now: str = NOW) -> Overview:
    return overview(parse([before], PREFIXES, 100.0), parse([now], PREFIXES, 110.0))


def test_rates_are_growth_by_second_and_a_series_that_is_new_began_at_zero() -> None:
    seen = shown()
    assert seen.requests_per_s == 10 and seen.failed_share == 0.1
    assert seen.errors_per_s == [("/v1/frames", "overloaded", 1.0)]
    assert [(tier.service, tier.requests_per_s, tier.complex_share) for tier in seen.tiers] == [("vision", 4.0, 0.25)]


def test_a_model_has_its_failures_its_quantile_its_worst_breaker_and_its_money() -> None:
    lite, luna = shown().models
    assert (luna.vendor, luna.model, luna.attempts_per_s, luna.failed_share) == ("openai", "luna", 4.0, 0.25)
    assert luna.p95_s == 1.0 and luna.first_token_p95_s is None and luna.breaker == "open"
    assert math.isclose(luna.usd_per_hour, 360.0)
    assert (lite.attempts_per_s, lite.failed_share, lite.breaker) == (0.0, None, "closed")


def test_rooms_money_and_replicas_come_from_all_shards_and_nodes() -> None:
    seen = shown()
    assert (seen.rooms.open, seen.rooms.unattended, seen.rooms.look_ms, seen.rooms.cores_a_room) == (4, None, 20, 0.05)
    assert math.isclose(seen.money.usd_per_hour, 540.0) and seen.money.usd_per_room_hour == seen.money.usd_per_hour / 4
    assert (seen.money.behind_s, seen.money.parked) == (12, 2)
    assert seen.money.tenants_usd == [("globex", 9.0), ("acme", 3.0)]
    (vision,) = seen.deployments
    assert (vision.target, vision.running, vision.ongoing, vision.waiting) == (3, 2, 4, 0)


def test_a_counter_that_fell_was_restarted_and_counts_from_zero() -> None:
    line = 'ray_rayroom_requests_total{{route="/v1/frames",status="2xx",replica="a"}} {}\n'
    assert shown(line.format(500), line.format(20)).requests_per_s == 2


def test_a_fresh_app_without_traffic_is_shown_without_figures_that_need_it() -> None:
    empty = shown("", "")
    assert empty.rooms.open == 0 and empty.failed_share is None and empty.money.usd_per_room_hour is None
    text = printed(empty)
    assert "open 0" in text and "a room hour" in text


def test_the_view_names_what_an_operator_looks_for() -> None:
    text = printed(shown())
    for expected in ("luna", "open", "overloaded", "globex $9.00", "bill behind 12 s", "parked 2", "vision", "$540.00"):
        assert expected in text, expected


def printed(seen: Overview) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(view(seen))
    return out.getvalue()


def test_a_quantile_is_the_edge_of_its_bucket() -> None:
    lines = "".join(f'h_bucket{{le="{edge}"}} {count}\n' for edge, count in (("1.0", 90), ("2.0", 99), ("+Inf", 100)))
    scrape = parse([lines], ("h_",), 0.0)
    assert [quantiles(scrape, "h", share)[()] for share in (0.5, 0.95, 0.999)] == [1.0, 2.0, math.inf]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedScrape(Scrape):
    """A scrape that notes the metrics and labels it is read by."""

    read: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)

    def by(self, name: str, *labels: str, **chosen: str) -> dict[Key, float]:
        self.read.add((name, (*labels, *chosen)))
        return {}

    def most(self, name: str, *labels: str) -> dict[Key, float]:
        return self.by(name, *labels)

    def since(self, before: Scrape) -> Scrape:
        return self


def test_every_metric_and_label_that_is_read_exists() -> None:
    noted = NotedScrape(at_s=1.0)
    overview(noted, noted)
    labels: Mapping[str, tuple[str, ...]] = {name: one.labels for one in METRICS for name in one.series_names}
    assert len(noted.read) > 20
    for name, used in noted.read:
        assert name in BORROWED or set(used) <= {*labels[name], "le"}, name
