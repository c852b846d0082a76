"""Generates load from its own process, and measures client and server."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp

from routing.latency import percentile
from tests.benchmarks.cores import Pids, busy_s, cpu_s
from tests.benchmarks.upstream import LAST_WORD

REQUEST_TIMEOUT_S = 20.0
_FIRST_TEXT = re.compile(rb'"content":\s*"[^"]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load: the request, the concurrency and the duration.

    The processes `pids` serve it on `core`; `helpers` share the load generator's core.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    connections: int
    warm_up_s: float
    seconds: float
    pids: Pids
    core: int
    helpers: Pids


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFigures:
    """The figures of one load. Requests and CPU cover the measured time only, errors also the warm-up."""

    requests: int
    requests_per_s: float
    cpu_ms: float
    """CPU time per request of all serving processes."""
    p50_ms: float
    p95_ms: float
    first_ms: float
    """Median time to the first text, which is the end of an answer without streaming."""
    errors: int
    our_core_share: float
    """The share of their core that the load and the upstream used; near 1 they, not the gateway, limit the figures."""
    others_share: float
    """The share of the gateway's core that unrelated processes used."""


Drive = Callable[[Load], LoadFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimedAnswer:
    ended_s: float
    duration_s: float
    first_s: float


@contextmanager
def load_process() -> Iterator[Drive]:
    """Yield a driver that sends a load from its own process, on the caller's current core."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield lambda load: pool.apply(_run, (load,))


def _run(load: Load) -> LoadFigures:
    return asyncio.run(_Driver(load).drive())


class _Driver:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._answers: list[_TimedAnswer] = []
        self._errors = 0
        self._ended = False

    async def drive(self) -> LoadFigures:
        load = self._load
        timeout, connector = aiohttp.ClientTimeout(REQUEST_TIMEOUT_S), aiohttp.TCPConnector(limit=0)
        headers = {"content-type": "application/json", **load.headers}
        async with (
            aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(load.connections):
                group.create_task(self._send_repeatedly(http))
            await asyncio.sleep(load.warm_up_s)
            began = _Measurement.take(load)
            await asyncio.sleep(load.seconds)
            ended = _Measurement.take(load)
            self._ended = True
        return self._figures(began, ended)

    async def _send_repeatedly(self, http: aiohttp.ClientSession) -> None:
        while not self._ended:
            try:
                await self._send(http)
            except (aiohttp.ClientError, TimeoutError):
                self._errors += 1
                # Limits the retries when connections are refused at once.
                await asyncio.sleep(0.05)

    async def _send(self, http: aiohttp.ClientSession) -> None:
        started_s, first_s, body = time.perf_counter(), math.nan, b""
        async with http.post(self._load.url, data=self._load.body) as response:
            async for chunk in response.content.iter_any():
                body += chunk
                if math.isnan(first_s) and _FIRST_TEXT.search(body):
                    first_s = time.perf_counter() - started_s
        ended_s = time.perf_counter()
        if response.status != 200 or not _is_complete(body, response.content_type):
            raise aiohttp.ClientPayloadError
        self._answers.append(_TimedAnswer(ended_s=ended_s, duration_s=ended_s - started_s, first_s=first_s))

    def _figures(self, began: _Measurement, ended: _Measurement) -> LoadFigures:
        answers = [answer for answer in self._answers if began.at_s <= answer.ended_s < ended.at_s]
        if not answers:
            raise RuntimeError(f"{self._load.url} answered nothing, {self._errors} errors")
        seconds = ended.at_s - began.at_s
        durations_s, first_times_s = (
            sorted(answer.duration_s for answer in answers),
            sorted(answer.first_s for answer in answers),
        )
        gateway_cpu_s = ended.gateway_cpu_s - began.gateway_cpu_s
        return LoadFigures(
            requests=len(answers),
            requests_per_s=len(answers) / seconds,
            cpu_ms=1_000 * gateway_cpu_s / len(answers),
            p50_ms=1_000 * percentile(durations_s, 0.5),
            p95_ms=1_000 * percentile(durations_s, 0.95),
            first_ms=1_000 * percentile(first_times_s, 0.5),
            errors=self._errors,
            our_core_share=(ended.load_cpu_s - began.load_cpu_s) / seconds,
            others_share=max(0.0, ended.busy_s - began.busy_s - gateway_cpu_s) / seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measurement:
    """The clock and the CPU times at one moment."""

    at_s: float
    gateway_cpu_s: float
    load_cpu_s: float
    busy_s: float

    @classmethod
    def take(cls, load: Load, clock: Callable[[], float] = time.perf_counter) -> _Measurement:
        load_cpu_s = time.process_time() + cpu_s(load.helpers)
        return cls(at_s=clock(), gateway_cpu_s=cpu_s(load.pids), load_cpu_s=load_cpu_s, busy_s=busy_s(load.core))


def _is_complete(body: bytes, content_type: str) -> bool:
    """Return whether an answer is complete: a stream with status 200 may break off."""
    ended = content_type != "text/event-stream" or body.endswith(b"data: [DONE]\n\n")
    return ended and LAST_WORD.encode() in body
