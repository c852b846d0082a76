"""`rayroom top` finds the nodes' metrics through Ray's dashboard, and says so where there are none."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from rich.console import Console

from cluster.cli.top.command import DISCOVERY, show_top
from routing.errors import ConfigurationError


@pytest.fixture
async def node() -> AsyncIterator[str]:
    """A dashboard that lists two nodes: itself, with metrics, and one that does not answer."""
    app = web.Application()

    async def targets(request: web.Request) -> web.Response:
        return web.json_response([{"labels": {}, "targets": [request.host, "127.0.0.1:9"]}])

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text='ray_rayroom_rooms{shard="0"} 7\n')

    app.add_routes([web.get(DISCOVERY, targets), web.get("/metrics", metrics)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_the_nodes_that_the_dashboard_lists_are_shown_without_those_that_are_away(node: str) -> None:
    out = io.StringIO()
    await show_top((), node + "/", 0.01, Console(file=out, width=140), once=True)
    assert "rooms     open 7" in out.getvalue()


@pytest.mark.parametrize(
    ("metrics", "dashboard", "named"),
    [((), "http://127.0.0.1:9", "--dashboard"), (("http://127.0.0.1:9/metrics",), "", "--metrics")],
)
async def test_an_app_without_metrics_is_an_error_that_names_the_options(
    metrics: tuple[str, ...], dashboard: str, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        await show_top(metrics, dashboard, 0.01, Console(file=io.StringIO()), once=True)
