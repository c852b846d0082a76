"""A request shows in the metrics of its router, in its log lines and in the journal, by one id."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from deployments import stream_response
from deployments.common.settings import SimulationSettings
from deployments.routes import build_routes
from routing.process import FORMAT, configure_logs
from routing.telemetry import router_metrics as names
from routing.telemetry.router_metrics import ROUTER_METRICS, ROUTES
from tests.support.credentials import FRAME_HEADERS, room_token
from tests.support.gateway import InProcessCluster, gateway_in_process, jpeg
from tests.support.recorded_instruments import RecordedInstruments

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}
CHAT_ROUTE = "/v1/chat/completions"


@dataclass
class CountedGateway:
    """A gateway's routes with recorded metrics."""

    http: httpx.AsyncClient
    cluster: InProcessCluster
    seen: RecordedInstruments = field(default_factory=RecordedInstruments)

    async def post(self, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {room_token()}", **request.pop("headers", {})}
        return await self.http.post(path, headers=headers, **request)


@pytest.fixture
def failures() -> dict[str, float]:
    return {}


@pytest.fixture
async def counted(tmp_path: Path, failures: dict[str, float]) -> AsyncIterator[CountedGateway]:
    seen, speed = RecordedInstruments(), SimulationSettings(seed=7, speed=10_000, failures=failures)
    async with gateway_in_process(tmp_path, simulation=speed, instruments=seen) as (gateway, cluster):
        transport = httpx.ASGITransport(build_routes(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://router") as http:
            yield CountedGateway(http, cluster, seen)


def test_every_route_of_the_app_is_a_known_label(counted: CountedGateway) -> None:
    app: Any = counted.http._transport.app  # type: ignore[attr-defined]
    assert {*(route.path for route in app.routes), "other"} == set(ROUTES)


def test_every_counter_and_gauge_exists_at_zero_before_the_first_request(counted: CountedGateway) -> None:
    for metric in ROUTER_METRICS:
        values = [value for series in counted.seen.by_name[metric.name].series.values() for value in series]
        assert bool(values) == (metric.kind != "histogram"), metric.name
        assert not any(values), metric.name
    assert counted.seen.values(names.BREAKER_STATE, model="gpt-6.1-sol") == [0.0]
    assert counted.seen.values(names.REQUEST_ERRORS, route="/v1/frames", code="overloaded") == [0.0]


async def test_a_frame_counts_its_request_its_attempt_its_tokens_and_its_money(counted: CountedGateway) -> None:
    answered = await counted.post("/v1/frames", content=jpeg(), headers=FRAME_HEADERS)
    cost_nanousd, model = answered.json()["cost_nanousd"], "gemini-3.5-flash-lite"
    at = {"service": "vision", "vendor": "gemini", "model": model}
    seen = counted.seen
    assert seen.total(names.REQUESTS, route="/v1/frames", status="2xx") == 1
    assert len(seen.values(names.REQUEST_SECONDS, route="/v1/frames")) == 1
    assert seen.total(names.DECISIONS, service="vision", tier="simple") == 1
    assert seen.total(names.ATTEMPTS, **at, tier="simple", outcome="ok") == seen.total(names.ATTEMPTS) == 1
    assert len(seen.values(names.ATTEMPT_SECONDS, **at)) == 1
    assert seen.total(names.USAGE, **at, kind="output_tokens") > 0
    assert seen.total(names.COST, **at, kind="reported") == seen.total(names.COST) == cost_nanousd


async def test_the_first_token_of_a_stream_is_timed(counted: CountedGateway) -> None:
    assert (await counted.post(CHAT_ROUTE, json={**CHAT, "stream": True})).status_code == 200
    (series,) = counted.seen.by_name[names.FIRST_TOKEN_SECONDS].series.items()
    assert dict(series[0])["service"] == "llm" and 0 < series[1][0] < 5


async def test_a_refused_request_counts_by_its_code_and_an_unknown_path_names_nothing(counted: CountedGateway) -> None:
    await counted.post("/v1/frames", content=b"no picture", headers=FRAME_HEADERS)
    await counted.post("/v1/whatever/a-caller-sends", json={})
    seen = counted.seen
    assert seen.total(names.REQUEST_ERRORS, route="/v1/frames", code="unsupported_media_type") == 1
    assert seen.total(names.REQUESTS, route="other", status="4xx") == 1
    assert seen.total(names.ATTEMPTS) == 0


@pytest.mark.parametrize("failures", [{"gpt-6-luna": 1.0, "gemini-3.5-flash-lite": 1.0}])
async def test_failed_attempts_show_their_errors_their_retries_and_the_stream_that_ends_in_one(
    counted: CountedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The head leaves before the error is known, as it does after two seconds.
    monkeypatch.setattr(stream_response, "HEAD_AFTER_S", 0.0)
    ended = await counted.post(CHAT_ROUTE, json={**CHAT, "model": "simple", "stream": True})
    seen = counted.seen
    codes = {dict(key)["code"] for key, values in seen.by_name[names.REQUEST_ERRORS].series.items() if any(values)}
    assert ended.status_code == 200 and b'"error"' in ended.content
    assert codes == {"provider_overloaded"}
    assert seen.total(names.ATTEMPT_ERRORS, model="gpt-6-luna", code="provider_overloaded") >= 1
    assert seen.total(names.ATTEMPTS, outcome="error") == seen.total(names.STEPS)
    assert seen.total(names.FALLBACKS, model="gpt-6-luna", to="gemini-3.5-flash-lite") == 1
    assert seen.total(names.STEPS, step="stop") == 1


async def test_one_id_is_in_the_header_the_journal_and_the_log_and_no_caller_repeats_an_event(
    counted: CountedGateway,
) -> None:
    chosen = {"x-request-id": "my-own-id"}
    answers = [await counted.post(CHAT_ROUTE, json=CHAT, headers=chosen) for _ in range(2)]
    answers.append(await counted.post(CHAT_ROUTE, json=CHAT))
    events = await counted.cluster.events()
    sent = [answer.headers["x-request-id"] for answer in answers]
    assert [event["request_id"] for event in events] == sent
    assert sent[:2] == ["my-own-id"] * 2 and sent[2] not in ("", "my-own-id")
    assert len({event["event_id"] for event in events}) == 3


async def test_log_lines_of_a_request_are_json_with_its_id(
    counted: CountedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORMAT, "json")
    lines, before = io.StringIO(), structlog.get_config()
    configure_logs()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(lines))
    try:
        body = {"room": "tenant_acme_standup", "job_id": "job-1", "metadata": '{"tenant_id": "acme"}'}
        key = {"authorization": "Bearer agent-key-0123456789"}
        opened = await counted.http.post("/v1/rooms", json=body, headers=key)
        structlog.get_logger().info("something later")
    finally:
        structlog.configure(**before)
    during, later = map(json.loads, lines.getvalue().splitlines())
    assert (during["event"], during["level"]) == ("room opened", "info")
    assert during["request_id"] == opened.headers["x-request-id"]
    assert "request_id" not in later, "the request has ended"
