"""Keeps requests in flight from a process of its own, and measures both sides."""

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
    """What is asked, by how many at once, for how long; `pids` on `core` answer, `helpers` share ours."""

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
class Seen:
    """The figures of one load. Requests and CPU are those of the measured time, errors those of the warm-up too."""

    requests: int
    requests_per_s: float
    cpu_ms: float
    """Of all that answer, a request."""
    p50_ms: float
    p95_ms: float
    first_ms: float
    """Median time to the first text; for an answer that comes whole, its end."""
    errors: int
    our_core_share: float
    """How busy the load and the upstream kept their core: near 1 the figures are theirs, not the gateway's."""
    others_share: float
    """The share of the gateway's core that unrelated processes took."""


Drive = Callable[[Load], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    ended_s: float
    took_s: float
    first_s: float


@contextmanager
def load_process() -> Iterator[Drive]:
    """Yield a driver that sends a load from a process of its own, on the core its caller is on now."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield lambda load: pool.apply(_run, (load,))


def _run(load: Load) -> Seen:
    return asyncio.run(_Driver(load).drive())


class _Driver:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._answers: list[_Answer] = []
        self._errors = 0
        self._ended = False

    async def drive(self) -> Seen:
        load = self._load
        timeout, connector = aiohttp.ClientTimeout(REQUEST_TIMEOUT_S), aiohttp.TCPConnector(limit=0)
        headers = {"content-type": "application/json", **load.headers}
        async with (
            aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(load.connections):
                group.create_task(self._ask_again(http))
            await asyncio.sleep(load.warm_up_s)
            began = _Reading.take(load)
            await asyncio.sleep(load.seconds)
            ended = _Reading.take(load)
            self._ended = True
        return self._seen(began, ended)

    async def _ask_again(self, http: aiohttp.ClientSession) -> None:
        while not self._ended:
            try:
                await self._ask(http)
            except (aiohttp.ClientError, TimeoutError):
                self._errors += 1
                # An immediate refusal would otherwise repeat a thousand times a second.
                await asyncio.sleep(0.05)

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        started_s, first_s, heard = time.perf_counter(), math.nan, b""
        async with http.post(self._load.url, data=self._load.body) as response:
            async for piece in response.content.iter_any():
                heard += piece
                if math.isnan(first_s) and _FIRST_TEXT.search(heard):
                    first_s = time.perf_counter() - started_s
        ended_s = time.perf_counter()
        if response.status != 200 or not _is_whole(heard, response.content_type):
            raise aiohttp.ClientPayloadError
        self._answers.append(_Answer(ended_s=ended_s, took_s=ended_s - started_s, first_s=first_s))

    def _seen(self, began: _Reading, ended: _Reading) -> Seen:
        answers = [answer for answer in self._answers if began.at_s <= answer.ended_s < ended.at_s]
        if not answers:
            raise RuntimeError(f"{self._load.url} answered nothing, {self._errors} errors")
        seconds = ended.at_s - began.at_s
        took_s, first_s = sorted(one.took_s for one in answers), sorted(one.first_s for one in answers)
        theirs_s = ended.theirs_s - began.theirs_s
        return Seen(
            requests=len(answers),
            requests_per_s=len(answers) / seconds,
            cpu_ms=1_000 * theirs_s / len(answers),
            p50_ms=1_000 * percentile(took_s, 0.5),
            p95_ms=1_000 * percentile(took_s, 0.95),
            first_ms=1_000 * percentile(first_s, 0.5),
            errors=self._errors,
            our_core_share=(ended.ours_s - began.ours_s) / seconds,
            others_share=max(0.0, ended.busy_s - began.busy_s - theirs_s) / seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """The clock and the CPU times at one moment."""

    at_s: float
    theirs_s: float
    ours_s: float
    busy_s: float

    @classmethod
    def take(cls, load: Load, clock: Callable[[], float] = time.perf_counter) -> _Reading:
        ours_s = time.process_time() + cpu_s(load.helpers)
        return cls(at_s=clock(), theirs_s=cpu_s(load.pids), ours_s=ours_s, busy_s=busy_s(load.core))


def _is_whole(body: bytes, content_type: str) -> bool:
    """Tell whether an answer came to its end: a stream may break off under a status of 200."""
    ended = content_type != "text/event-stream" or body.endswith(b"data: [DONE]\n\n")
    return ended and LAST_WORD.encode() in body
