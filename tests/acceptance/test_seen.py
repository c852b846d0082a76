"""A running app exports every listed metric on its node's Prometheus port, and `rayroom top` shows it."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from cluster.cli.main import app
from routing.telemetry.metrics import BORROWED, METRICS
from tests.support.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")
REPORTED_WITHIN_S = 60.0
"""Ray reports the metrics of a process every ten seconds."""


async def scraped(stack: Stack) -> dict[str, float]:
    """Return the sum of each series name."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(stack.plan.metrics_url)).text
    sums = dict[str, float]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def test_a_running_app_exports_every_metric_of_the_list(stack: Stack) -> None:
    token = await stack.open_room("tenant_acme_seen")
    async with stack.http(token) as http:
        body = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
        assert (await http.post("/v1/chat/completions", json=body)).status_code == 200
        # A histogram is exported from its first figure on.
        call = {"tool": "shop_look", "digest": "0" * 32, "arguments": {}, "user": "ann", "confirmed": False}
        assert (await http.post("/v1/rooms/tenant_acme_seen/tools/calls", json=call)).status_code == 404
    expected = {name for metric in METRICS if metric.part != "dispatch" for name in metric.series_names} | {*BORROWED}
    async with asyncio.timeout(REPORTED_WITHIN_S):
        while expected - (sums := await scraped(stack)).keys() or not sums["ray_rayroom_cost_nanousd_total"]:
            await asyncio.sleep(1.0)
    assert sums["ray_rayroom_breaker_state"] == 0 and sums["ray_rayroom_spans_lost_total"] == 0


async def test_top_shows_the_app_once(stack: Stack) -> None:
    command = ["top", "--once", "--every", "1", "--metrics", stack.plan.metrics_url]
    result = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert result.exit_code == 0, result.output
    for expected in ("rooms     open", "bill behind", "gpt-6-luna", "closed", "router", "vision"):
        assert expected in result.output, result.output
