"""Scrape the endpoints of an app again and again, and show the overview in place."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence

import aiohttp
from rich.console import Console
from rich.live import Live

from cluster.cli.top.overview import PREFIXES, overview
from cluster.cli.top.scrape import Scrape, parse
from cluster.cli.top.view import view
from cluster.serve.node_metrics import fetch_texts
from routing.errors import ConfigurationError

TIMEOUT_S = 5.0
DISCOVERY = "/api/prometheus/sd"
"""Ray's list of the nodes' metrics, as Prometheus' HTTP discovery has it."""
HINT = "Name the nodes' endpoints with --metrics, or Ray's dashboard with --dashboard."


async def show_top(metrics: Sequence[str], dashboard: str, every_s: float, console: Console, once: bool) -> None:
    """Show the overview every `every_s` seconds, until cancelled or once; raises ConfigurationError without metrics."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
        urls = [*metrics] or await discovered(http, dashboard)
        before = await scrape(http, urls)
        if once:
            await asyncio.sleep(every_s)
            console.print(view(overview(before, await scrape(http, urls))))
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(every_s)
                now = await scrape(http, urls)
                live.update(view(overview(before, now)), refresh=True)
                before = now


async def discovered(http: aiohttp.ClientSession, dashboard: str) -> list[str]:
    """Return the metrics endpoints of all nodes that Ray's dashboard lists; raises ConfigurationError."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        async with http.get(dashboard.rstrip("/") + DISCOVERY, headers=headers) as response:
            groups = json.loads(await response.text()) if response.ok else []
    except (aiohttp.ClientError, TimeoutError, ValueError):
        groups = []
    found = [f"http://{target}/metrics" for group in groups for target in group.get("targets", ())]
    if not found:
        raise ConfigurationError(f"{dashboard} lists no metrics. {HINT}", "metrics")
    return found


async def scrape(http: aiohttp.ClientSession, urls: Sequence[str]) -> Scrape:
    """Return the series of the endpoints that answer; raises ConfigurationError where none does."""
    texts = await fetch_texts(http, urls)
    if not texts:
        raise ConfigurationError(f"None of {', '.join(urls)} answers. {HINT}", "metrics")
    return await asyncio.to_thread(parse, texts, PREFIXES, time.monotonic())
