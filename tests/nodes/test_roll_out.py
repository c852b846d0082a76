"""A changed configuration and the end of `rayroom serve` lose no answer and no money: every answer is billed once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cluster.costs.journal_reader import JournalReader
from cluster.lab.stack.ports import free_ports
from cluster.lab.stack.processes import Processes
from cluster.lab.stack.ray_node import ray_environment, write_config
from tests.nodes.cluster import KEYS, ROOT

BIN = Path(sys.executable).parent
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 120.0
REQUEST_EVERY_S = 0.3
REPLACED_TIMEOUT_S = 240.0
ROUTER = "ray::ServeReplica:rayroom:router"
"""The title of a router's process."""
# Answers of 5 to 15 s: longer than Serve's own ten seconds for a stopping replica.
SLOW = {"first_token_ms": 500, "sigma": 0, "tail_share": 0, "tokens_per_s": 4}
# On a busy machine a late first token is no reason for a second attempt: the bill is compared with the answers.
PATIENT = {
    "first_token_timeout_s": {"simple": 11, "complex": 11},
    "first_token_least_s": 11,
    "between_tokens_timeout_s": 9,
}
MODELS = ("gpt-6-luna", "gpt-6.1-terra")


@dataclass
class ChatLoad:
    """Sends one chat after another, half of them streamed, without waiting for the answers."""

    http: httpx.AsyncClient
    token: str
    requests: list[asyncio.Task[str]] = field(default_factory=list)

    async def run(self, enough: Callable[[], bool]) -> None:
        """Send a chat every `REQUEST_EVERY_S` until `enough()` is true."""
        while not enough():
            self.requests.append(asyncio.create_task(self._chat(len(self.requests))))
            await asyncio.sleep(REQUEST_EVERY_S)

    async def _chat(self, number: int) -> str:
        """Return `answered`, the status and code of a refusal, or the name of the error that cut the answer."""
        streamed = number % 2 == 0
        body = {"model": "auto", "stream": streamed, "messages": [{"role": "user", "content": f"question {number}"}]}
        try:
            response = await self.http.post(
                "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {self.token}"}
            )
        except httpx.HTTPError as error:
            return type(error).__name__
        if response.status_code != 200:
            return f"{response.status_code} {response.json()['error']['code']}"
        whole = "[DONE]" in response.text and '"error"' not in response.text if streamed else response.json()["choices"]
        return "answered" if whole else "cut"


def arguments(directory: Path, **llm: Any) -> dict[str, dict[str, Any]]:
    return {
        "costs": {"journal_path": str(directory / "journal.db"), "flush_every_s": 2},
        "backend": {"local_path": str(directory / "backend.db")},
        "keys": {"file": str(directory / "keys.env")},
        "simulation": {"profiles": {model: SLOW for model in MODELS}},
        "llm": {"simple": [MODELS[0]], "complex": [MODELS[1]], **PATIENT, **llm},
    }


@asynccontextmanager
async def load_on(url: str) -> AsyncIterator[ChatLoad]:
    limits = httpx.Limits(max_connections=500)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await _ready(http):
                await asyncio.sleep(0.3)
        room = {"room": "tenant_acme_1", "job_id": "test", "metadata": json.dumps({"tenant_id": "acme"})}
        keys = {"authorization": f"Bearer {KEYS['RAYROOM_AGENT_KEYS']}"}
        opened = (await http.post("/v1/rooms", json=room, headers=keys)).raise_for_status().json()
        yield ChatLoad(http, opened["token"])


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).is_success
    except httpx.HTTPError:
        return False


def routers(app_pid: int) -> frozenset[int]:
    """Return the process ids of the routers that run."""
    found = set()
    for process in psutil.Process(app_pid).children(recursive=True):
        with suppress(psutil.Error):
            if "".join(process.cmdline()).startswith(ROUTER):
                found.add(process.pid)
    return frozenset(found)


def backend_nanousd(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "backend.db")) as db:
        (total,) = db.execute("SELECT sum(cost_nanousd) FROM cost_events").fetchone()
    return int(total)


@pytest.mark.timeout(600)
async def test_a_changed_configuration_and_sigterm_lose_no_answer_and_bill_each_once(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    write_config(ROOT / "serve_config.yaml", before, port, arguments(tmp_path))
    # The routers get the share, the model replicas the speed, the aggregator the time between two flushes.
    changed = arguments(tmp_path, complex_share=0.5)
    changed["costs"]["flush_every_s"] = 3
    changed["simulation"]["seed"] = 8
    write_config(ROOT / "serve_config.yaml", after, port, changed)
    with tempfile.TemporaryDirectory(prefix="ro-", dir="/tmp") as short:
        environment = {**os.environ, **ray_environment(Path(short)), **KEYS, "RAY_TMPDIR": short}
        async with Processes(tmp_path / "logs") as processes:
            app = await processes.start("app", [BIN / "rayroom", "serve", before], environment)
            async with load_on(f"http://127.0.0.1:{port}") as load:
                old = routers(app.pid)
                await load.run(lambda: len(load.requests) >= 20)
                log = (tmp_path / "logs" / "app.log").read_text()
                deploying = asyncio.create_task(_deploy(processes, after, environment, log))
                async with asyncio.timeout(REPLACED_TIMEOUT_S):
                    await load.run(lambda: deploying.done() and old.isdisjoint(routers(app.pid)))
                await deploying
                await load.run(lambda: len(load.requests) % 20 == 0)
                sent_before = len(load.requests)
                app.send_signal(signal.SIGTERM)
                await asyncio.sleep(1)
                await load.run(lambda: len(load.requests) >= sent_before + 5)
                outcomes = await asyncio.gather(*load.requests)
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    assert await app.wait() == 0
    assert Counter(outcomes[:sent_before]) == {"answered": sent_before}
    # New requests are refused at once, so that a balancer tries another node.
    assert set(outcomes[sent_before:]) <= {"503 overloaded", "ConnectError"}
    with closing(JournalReader(tmp_path / "journal.db")) as journal:
        billed = journal.totals("acme")
    assert (billed.requests, billed.estimated_requests, billed.reserved_nanousd) == (sent_before, 0, 0)
    assert billed.settled_nanousd == billed.sent_nanousd == backend_nanousd(tmp_path) > 0


async def _deploy(processes: Processes, config: Path, environment: dict[str, str], log: str) -> None:
    dashboard = re.search(r"dashboard at \D*(http://[\d.]+:\d+)", re.sub(r"\x1b\[\d+m", "", log))
    assert dashboard, log
    deploying = await processes.start("deploy", [BIN / "serve", "deploy", "-a", dashboard[1], config], environment)
    assert await deploying.wait() == 0
