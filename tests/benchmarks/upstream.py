"""A minimal server with OpenAI's chat protocol: it sends prepared bytes, so that a benchmark measures the gateways."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

CHUNKS = 24
CHUNK_INTERVAL_S = 0.002
PACED = "Word by word:"
"""A prompt with these words gets its chunks one after the other; every other answer takes no time, whole or streamed.

Gateways differ in how they request a whole answer. Only so do they all wait equally long for it.
"""
LAST_WORD = "over."
"""The last word of every answer; a client that received it has the complete answer."""
STOP_TIMEOUT_S = 5.0
_WORDS = [f"word{number}" for number in range(1, CHUNKS)] + [LAST_WORD]
_USAGE = {"prompt_tokens": 40, "completion_tokens": CHUNKS, "total_tokens": 40 + CHUNKS}
_COMMON_FIELDS = {"id": "chatcmpl-1", "created": 1_764_000_000, "model": "gpt-6-luna"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A running server; `url` is the `base_url` for an OpenAI client."""

    url: str
    pid: int


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    """Yield the server, which runs in its own process on the caller's core."""
    command = [sys.executable, "-m", "tests.benchmarks.upstream"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError("the upstream did not start; its own output above says why")
        yield Upstream(url=f"http://127.0.0.1:{port}/v1", pid=process.pid)
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
        process.stdout.close()


async def _serve() -> None:
    # Without routes a request costs only its I/O.
    runner = web.ServerRunner(web.Server(_answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    body = await request.read()
    if b'"stream":true' in body or b'"stream": true' in body:
        return await _stream(request, paced=PACED.encode() in body)
    return web.Response(body=WHOLE, content_type="application/json")


async def _stream(request: web.BaseRequest, paced: bool) -> web.StreamResponse:
    """Send all chunks at once, or one every two milliseconds by the clock: load must not slow the emulated model."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    if not paced:
        await response.write(_ALL)
        return response
    due_s = time.monotonic()
    for event in _EVENTS:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await response.write(event)
        due_s += CHUNK_INTERVAL_S
    await response.write(_END)
    return response


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    body = {**_COMMON_FIELDS, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _chunk(number: int, word: str) -> bytes:
    delta = {"role": "assistant", "content": f" {word}" if number else word}
    return _event([{"index": 0, "delta": delta, "finish_reason": None}])


_MESSAGE = {"role": "assistant", "content": " ".join(_WORDS), "refusal": None}
WHOLE = json.dumps(
    {
        **_COMMON_FIELDS,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
).encode()
_EVENTS = [_chunk(number, word) for number, word in enumerate(_WORDS)]
_END = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}]) + _event([], _USAGE) + b"data: [DONE]\n\n"
_ALL = b"".join(_EVENTS) + _END


if __name__ == "__main__":
    asyncio.run(_serve())
