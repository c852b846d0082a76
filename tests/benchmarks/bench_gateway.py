"""Measure the whole gateway, billing on, beside LiteLLM's proxy: the same upstream, load, core and run.

Run `python -m tests.benchmarks.bench_gateway`. Gateways run on one core, upstream and load on another; the
others are stopped. Beside them: the upstream asked directly, and Ray Serve's two deployments without rayroom.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from room_agent.frames.encoder import encode
from tests.benchmarks.cores import Pids, cpu_s, family, move, on_cores, rest, strays, wake
from tests.benchmarks.litellm_peer import VERSION, running_litellm
from tests.benchmarks.load import Drive, Load, Seen, load_process
from tests.benchmarks.machine import busy, load_per_core
from tests.benchmarks.upstream import Upstream, running_upstream
from tests.support.screens import Desktop, prose
from tests.support.stack import ROOT, Stack, running_stack

MODEL = "gpt-6-luna"
ROUNDS = 3
WARM_UP_S = 1.0
SETTLE_S = 0.3
MAX_OUR_CORE_SHARE = 0.85
MAX_OTHERS_SHARE = 0.1
PATH = "/v1/chat/completions"
# The backend of the tests is the company's, not a part of the gateway.
BACKEND = "node"
T = TypeVar("T")
RAYROOM, LITELLM, DIRECT, ALONE = "rayroom", "LiteLLM", "direct", "Ray alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One workload at one number of connections."""

    name: str
    body: bytes = field(repr=False)
    connections: int
    of_ray: bool = False
    """Whether Ray alone is asked this too."""
    streams: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A measured gateway: its address, its key and its processes."""

    name: str
    url: str
    key: str = field(repr=False)
    pids: Callable[[], Pids]
    core: int
    rests: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The medians of all rounds of one contender at one case."""

    requests_per_s: float
    cpu_ms: float
    net_cpu_ms: float
    """Without the CPU time that its processes use when idle."""
    p50_ms: float
    p95_ms: float
    first_ms: float
    errors: int
    our_core_share: float
    others_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures by case and contender, and each contender's share of its core when idle."""

    figures: dict[str, dict[str, Figures]]
    idle_share: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal and the measured value."""

    what: str
    value: float
    sign: str
    bound: float

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.sign == ">=" else self.value <= self.bound


def cases() -> tuple[Case, ...]:
    words = "Say in one sentence what the second chart on the screen shows."
    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(screen()).decode()}"}}
    text, picture = _body(words), _body([{"type": "text", "text": words}, image])
    return (
        Case(name="chat, 1 at once", body=text, connections=1, of_ray=True),
        Case(name="chat, 32 at once", body=text, connections=32, of_ray=True),
        Case(name="60 kB JPEG, 1 at once", body=picture, connections=1),
        Case(name="60 kB JPEG, 32 at once", body=picture, connections=32),
        Case(name="24 chunks, 16 at once", body=_body(words, stream=True), connections=16, streams=True),
    )


def screen() -> bytes:
    """Return a screen full of text as a JPEG of about 60 kB."""
    planes = Desktop(size=(1920, 1080), lines=prose(42, words=20)).planes()
    return encode(planes, long_side_px=1_024, quality=50).jpeg


def _body(content: object, **more: Any) -> bytes:
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": MODEL, "messages": messages, "max_tokens": 200, **more}).encode()


def run(seconds: float, rounds: int = ROUNDS, seed: int = 1) -> Result:
    """Return the medians over all rounds; in each, the contenders take turns at each case in random order."""
    gateway_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    rng = random.Random(seed)
    seen: dict[tuple[str, str], list[Seen]] = {}
    idle: dict[str, list[float]] = {}
    with on_cores(load_core), load_process() as drive, contenders(gateway_core, load_core) as (upstream, found):
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for one in found:
                if one.rests:
                    idle.setdefault(one.name, []).append(_idle_share(one, seconds))
            for case in cases():
                for one in rng.sample(found, len(found)):
                    if one.name != ALONE or case.of_ray:
                        seen.setdefault((case.name, one.name), []).append(_turn(drive, case, one, upstream, seconds))
    idle_share = {name: median(shares) for name, shares in idle.items()}
    figures: dict[str, dict[str, Figures]] = {}
    for (case_name, name), all_seen in seen.items():
        figures.setdefault(case_name, {})[name] = _figures(all_seen, idle_share.get(name, 0.0))
    return Result(figures=figures, idle_share=idle_share)


@contextmanager
def contenders(gateway_core: int, load_core: int) -> Iterator[tuple[Upstream, list[Contender]]]:
    """Yield the contenders, running and stopped."""
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream())
        # On both cores until all are up: a start takes far more CPU than anything after it.
        with on_cores(gateway_core, load_core):
            rayroom = stack.enter_context(_told(RAYROOM, running_stack("app", _settings(upstream))))
            alone = stack.enter_context(_told(ALONE, running_stack("app", None, "tests.benchmarks.ray_alone:build")))
            litellm = stack.enter_context(_told(LITELLM, running_litellm(ROOT, upstream.url, MODEL)))
        for ray in (rayroom, alone):
            move(set(family(ray.pid)) - set(_ray_pids(ray)), load_core)
        token = asyncio.run(rayroom.open_room("tenant_acme_bench"))
        found = [
            Contender(
                name=RAYROOM,
                url=rayroom.plan.router_url + PATH,
                key=token,
                pids=lambda: _ray_pids(rayroom),
                core=gateway_core,
            ),
            Contender(name=LITELLM, url=litellm.url + PATH, key=litellm.key, pids=litellm.pids, core=gateway_core),
            Contender(
                name=ALONE,
                url=alone.plan.router_url + PATH,
                key="none",
                pids=lambda: _ray_pids(alone),
                core=gateway_core,
            ),
            Contender(
                name=DIRECT,
                url=upstream.url.removesuffix("/v1") + PATH,
                key="none",
                pids=lambda: (upstream.pid,),
                core=load_core,
                rests=False,
            ),
        ]
        try:
            for one in found:
                if one.rests:
                    move(one.pids(), one.core)
                    rest(one.pids())
            yield upstream, found
        finally:
            for one in found:
                wake(one.pids())


@contextmanager
def _told(name: str, starting: AbstractContextManager[T]) -> Iterator[T]:
    """Print how long a start took: together the starts are a good part of the run."""
    began_s = time.monotonic()
    with starting as started:
        print(f"{name} is up after {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        yield started


def _ray_pids(stack: Stack) -> Pids:
    return family(stack.pid, without=BACKEND)


def _settings(upstream: Upstream) -> dict[str, dict[str, Any]]:
    """Return rayroom's settings: one live vendor, one replica of each deployment, no retries."""
    live = {"api": "openai-compatible", "base_url": upstream.url, "api_key_env": None, "simulated": False}
    replica = {"min_replicas": 1, "max_replicas": 1}
    return {
        "vendors": {"openai": live},
        "scaling": {name: replica for name in ("router", "vision", "llm", "embeddings")},
        "retries": {"tries_of_target": 1},
    }


@contextmanager
def _awake(one: Contender) -> Iterator[None]:
    pids = one.pids()
    wake(pids)
    try:
        time.sleep(SETTLE_S)
        if names := strays(pids, one.core):
            raise RuntimeError(f"{one.name} leaves its core: {', '.join(names)}")
        yield
    finally:
        if one.rests:
            rest(one.pids())


def _idle_share(one: Contender, seconds: float) -> float:
    """Return the share of a core that an idle contender uses."""
    with _awake(one):
        time.sleep(WARM_UP_S)
        pids = one.pids()
        began_s, before_s = time.perf_counter(), cpu_s(pids)
        time.sleep(seconds)
        return (cpu_s(pids) - before_s) / (time.perf_counter() - began_s)


def _turn(drive: Drive, case: Case, one: Contender, upstream: Upstream, seconds: float) -> Seen:
    with _awake(one):
        return drive(
            Load(
                url=one.url,
                headers={"authorization": f"Bearer {one.key}"},
                body=case.body,
                connections=case.connections,
                warm_up_s=WARM_UP_S,
                seconds=seconds,
                pids=one.pids(),
                core=one.core,
                helpers=(upstream.pid,),
            )
        )


def _figures(seen: list[Seen], idle_share: float) -> Figures:
    medians = {
        name: median(getattr(one, name) for one in seen)
        for name in ("requests_per_s", "cpu_ms", "p50_ms", "p95_ms", "first_ms", "our_core_share", "others_share")
    }
    net = median(one.cpu_ms - 1_000 * idle_share / one.requests_per_s for one in seen)
    return Figures(**medians, net_cpu_ms=net, errors=sum(one.errors for one in seen))


def others_share(result: Result) -> float:
    """Return the largest share of the gateways' core that other processes used in any case."""
    asked = (one for by_name in result.figures.values() for name, one in by_name.items() if name != DIRECT)
    return max(one.others_share for one in asked)


def goals(result: Result) -> list[Goal]:
    """Return every goal with its measured value; CPU includes the idle share."""
    found = []
    for case in cases():
        ours, theirs = (result.figures[case.name][name] for name in (RAYROOM, LITELLM))
        found.append(_goal(f"{case.name}: requests a CPU second, times", theirs.cpu_ms / ours.cpu_ms, ">=", 5.0))
        found.append(_goal(f"{case.name}: p50, share", ours.p50_ms / theirs.p50_ms, "<=", 1.0))
        if case.streams:
            found.append(_goal(f"{case.name}: first chunk, times sooner", theirs.first_ms / ours.first_ms, ">=", 5.0))
        if case.of_ray and case.connections == 1:
            ray = result.figures[case.name][ALONE]
            found.append(_goal(f"{case.name}: CPU ms beyond Ray", ours.net_cpu_ms - ray.net_cpu_ms, "<=", 1.0))
            found.append(_goal(f"{case.name}: p50 ms beyond Ray", ours.p50_ms - ray.p50_ms, "<=", 2.0))
    errors = sum(one.errors for by_name in result.figures.values() for one in by_name.values())
    return [*found, _goal("errors", errors, "<=", 0.0)]


def _goal(what: str, value: float, sign: str, bound: float) -> Goal:
    return Goal(what=what, value=value, sign=sign, bound=bound)


def _print(result: Result) -> None:
    headings = ("requests/s", "CPU ms", "net", "p50 ms", "p95 ms", "first text ms", "errors", "load core")
    table = Table("case", "asked", *headings, title=f"beside LiteLLM {VERSION}; CPU ms a request, all its processes")
    for case_name, by_name in result.figures.items():
        for name, one in sorted(by_name.items()):
            times = (f"{value:.2f}" for value in (one.cpu_ms, one.net_cpu_ms, one.p50_ms, one.p95_ms, one.first_ms))
            shown = f"{one.our_core_share:.0%}" + ("!" if one.our_core_share > MAX_OUR_CORE_SHARE else "")
            table.add_row(case_name, name, f"{one.requests_per_s:.0f}", *times, str(one.errors), shown)
    console = Console(width=130)
    console.print(table)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in result.idle_share.items())
    console.print(
        f"idle, of a core: {shares}; `net` is without it. Others took {others_share(result):.0%} of the core."
    )
    console.print("A load core marked ! was full: those figures are the load's own, not the gateway's.")
    for goal in goals(result):
        console.print(f"{'ok    ' if goal.met else 'MISSED'} {goal.what} {goal.value:.2f} {goal.sign} {goal.bound:g}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.5, help="how long each turn is measured")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--json", type=Path, help="write all figures and goals to a file")
    return parser.parse_args()


def main() -> int:
    """Return 0 when every goal is met, 1 when one is missed, 2 when this machine is too busy."""
    options = _arguments()
    if len(os.sched_getaffinity(0)) < 2:
        print("Two cores are needed: one for the gateways, one for the load.", file=sys.stderr)
        return 2
    if busy(options.force):
        return 2
    result = run(options.seconds, options.rounds)
    _print(result)
    if options.json is not None:
        found = [asdict(goal) | {"met": goal.met} for goal in goals(result)]
        told = {"litellm": VERSION, "load_per_core": load_per_core(), **asdict(result), "goals": found}
        options.json.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    if (others := others_share(result)) > MAX_OTHERS_SHARE and not options.force:
        print(f"Others took {others:.0%} of the gateways' core: this run says nothing (--force).", file=sys.stderr)
        return 2
    return 0 if all(goal.met for goal in goals(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
