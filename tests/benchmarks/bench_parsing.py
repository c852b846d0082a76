"""Measures how long one request holds the event loop, for hostile bodies and for the largest legitimate ones.

A hold is the process's CPU time between two turns of the loop, so that a busy machine does not count.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from rich.console import Console
from rich.table import Table

from deployments.api.app import MAX_JSON_BYTES
from deployments.api.json_text import MAX_CONTAINERS, MAX_KEYS, MAX_STRINGS, MAX_VALUES
from deployments.routes import build_routes
from routing.process import freeze_startup_objects
from tests.support.credentials import FRAME_HEADERS, room_token
from tests.support.gateway import gateway_in_process, jpeg
from tests.support.scripted_replica import ScriptedReplica

GOAL_MS = 50.0
ROUNDS = 3
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
EMBEDDINGS, FRAMES = "/v1/embeddings", "/v1/frames"
HEARTBEAT = "/v1/rooms/tenant_acme_standup/heartbeat"
USER: dict[str, Any] = {"role": "user", "content": "Hello"}


@dataclass(slots=True)
class LoopHolds:
    """The longest CPU time between two turns of the event loop."""

    longest_s: float = 0.0

    async def watch(self) -> None:
        last_s = time.process_time()
        while True:
            await asyncio.sleep(0.0005)
            now_s = time.process_time()
            self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "simple", "messages": [USER]} | fields).encode()


def tool(name: str, parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def called(arguments: str, count: int = 1) -> list[dict[str, Any]]:
    calls = [{"id": f"c{i}", "function": {"name": "f", "arguments": arguments}} for i in range(count)]
    results = [{"role": "tool", "tool_call_id": f"c{i}", "content": "x"} for i in range(count)]
    return [USER, {"role": "assistant", "content": None, "tool_calls": calls}, *results]


def filled(part: bytes, head: bytes = b'{"messages":[', tail: bytes = b"]}") -> bytes:
    """Return a body of the largest size, full of one part."""
    count = (MAX_JSON_BYTES - len(head) - len(tail)) // (len(part) + 1)
    return head + b",".join([part] * count) + tail


def bodies() -> dict[str, tuple[str, bytes]]:
    """Return each body with its route."""
    big = base64.b64encode(jpeg(1_600, 1_200) + b"\0" * 250_000).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{big}"}}
    wide: dict[str, Any] = {"properties": {f"p{i}": {} for i in range(75)}}
    keys = {f"k{i}": 1 for i in range(700)}
    return {
        "512 messages of 700 unknown keys": (CHAT, chat(messages=[USER | keys] * 512)[:MAX_JSON_BYTES]),
        "30 messages of 700 unknown keys": (CHAT, chat(messages=[USER | keys] * 30)),
        "350,000 unknown keys": (CHAT, b"{" + b",".join(b'"%x":1' % i for i in range(300_000)) + b"}"),
        "empty lists": (CHAT, filled(b"[]")),
        "empty objects": (CHAT, filled(b"{}")),
        "nested lists": (CHAT, filled(b"[" * 190 + b"]" * 190)),
        "numbers": (CHAT, filled(b"1")),
        "long numbers": (CHAT, filled(b"9" * 4_000)),
        "empty texts": (CHAT, filled(b'""')),
        "just below the parser's limits": (CHAT, _at_limits()),
        "escaped text": (CHAT, chat(messages=[USER | {"content": "\u00e9" * 390_000}])),
        "text of commas": (CHAT, chat(messages=[USER | {"content": "[{,:" * 99_000}] * 8)),
        "8 texts of 400,000 characters": (CHAT, chat(messages=[USER | {"content": "word " * 80_000}] * 8)),
        "one turn of 390,000 characters": (CHAT, chat(messages=[USER | {"content": "why, " * 78_000}])),
        "one answer of 390,000 characters": (
            CHAT,
            chat(messages=[USER, {"role": "assistant", "content": "why. " * 78_000}, USER]),
        ),
        "512 messages of 27 parts": (
            CHAT,
            chat(messages=[USER | {"content": [{"type": "text", "text": "x"}] * 27}] * 512),
        ),
        "128 tools of 75 properties": (CHAT, chat(tools=[tool(f"f{i}", wide) for i in range(128)])),
        "a schema of 9,900 objects": (
            CHAT,
            chat(tools=[tool("f", {"properties": {str(i): {} for i in range(9_900)}})]),
        ),
        "a schema of repeated objects": (CHAT, chat(tools=[tool("f", {"required": [{} for _ in range(1_000)]})])),
        "a schema of 35 levels": (CHAT, chat(tools=[tool("f", _nested(35))])),
        "arguments of 14,000 lists": (CHAT, chat(messages=called('{"a":[' + ",".join(["[]"] * 14_000) + "]}", 80))),
        "500 items of 25 parts": (
            RESPONSES,
            json.dumps({"input": [USER | {"content": [{"type": "input_text", "text": "x"}] * 25}] * 500}).encode(),
        ),
        "8 images of 3.4 MB": (CHAT, chat(messages=[USER | {"content": [image] * 8}])[:MAX_JSON_BYTES]),
        "300,000 biases": (CHAT, chat(logit_bias={str(i): 1 for i in range(200_000)})),
        "300,000 counters": (HEARTBEAT, json.dumps({"counters": {f"x{i}": "y" for i in range(200_000)}}).encode()),
        "40,000 bad counters": (HEARTBEAT, json.dumps({"counters": {f"X{i}": "y" for i in range(40_000)}}).encode()),
        "2,048 texts": (EMBEDDINGS, json.dumps({"input": ["word " * 100] * 2_048}).encode()),
        "300,000 token ids": (EMBEDDINGS, json.dumps({"input": [[7] * 150] * 2_000}).encode()),
        "a frame of markers": (FRAMES, b"\xff\xd8" + b"\xff" * 2_000_000),
        "a frame of fill": (FRAMES, b"\xff\xd8" + b"\xff\xe0\x00\x02" * 500_000),
    }


def _at_limits() -> bytes:
    keys = ",".join(f'"{number:032x}":0' for number in range(MAX_KEYS - 10))
    strings = ",".join(f'"{number:x}"' for number in range(MAX_STRINGS - MAX_KEYS - 10))
    lists = ",".join(["[]"] * (MAX_CONTAINERS - 10))
    numbers = ",".join(["1"] * (MAX_VALUES - MAX_STRINGS - MAX_CONTAINERS))
    return f'{{"a":{{{keys}}},"b":[{strings}],"c":[{lists}],"d":[{numbers}]}}'.encode()


def _nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


async def held_ms(app: FastAPI, path: str, body: bytes) -> tuple[int, float]:
    """Return the status of one request, and the longest hold of the loop in milliseconds."""
    headers = {"authorization": f"Bearer {room_token()}"} | (FRAME_HEADERS if path == FRAMES else {})
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    statuses, waiting = list[int](), [body]

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": waiting.pop(), "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        # As a socket does: the loop goes on between two writes.
        await asyncio.sleep(0)

    holds = LoopHolds()
    watching = asyncio.create_task(holds.watch())
    await asyncio.sleep(0.01)
    holds.longest_s = 0.0
    await app(scope, receive, send)
    await asyncio.sleep(0.01)
    watching.cancel()
    return statuses[0], 1_000 * holds.longest_s


@asynccontextmanager
async def app_in_process() -> AsyncIterator[FastAPI]:
    with tempfile.TemporaryDirectory() as folder:
        async with gateway_in_process(Path(folder), leaf=ScriptedReplica()) as (gateway, _):
            yield build_routes(gateway)


async def run() -> dict[str, tuple[int, int, float]]:
    """Return each body's bytes, the status of its answer and the worst hold in milliseconds."""
    results = {}
    async with app_in_process() as app:
        await held_ms(app, CHAT, chat())
        # As a replica does: otherwise a collection of garbage would hold the loop for longer than most bodies.
        freeze_startup_objects()
        for name, (path, body) in bodies().items():
            rounds = [await held_ms(app, path, body) for _ in range(ROUNDS)]
            results[name] = len(body), rounds[0][0], min(held for _, held in rounds)
    return results


def main() -> int:
    """Print the table; return 1 if one body holds the loop longer than the goal."""
    results = asyncio.run(run())
    table = Table("body", "bytes", "status", "worst hold, ms")
    for name, (size, status, held) in results.items():
        table.add_row(name, f"{size:,}", str(status), f"{held:.1f}")
    Console().print(table)
    return int(max(held for _, _, held in results.values()) > GOAL_MS)


if __name__ == "__main__":
    sys.exit(main())
