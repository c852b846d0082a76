"""Measure the whole gateway, billing on, beside LiteLLM's proxy and Portkey's: the same upstream, load, core and run.

Run `python -m tests.benchmarks.bench_gateway`. Gateways run on one core, upstream and load on another; the
others are stopped. Beside them: the upstream asked directly, and Ray Serve's two deployments without rayroom.
Portkey's gateway checks no key and bills nothing, so it has no goal.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from room_agent.frames.encoder import encode
from tests.benchmarks.cores import Pids, cpu_s, descendants, move, on_cores, pause, processes_off_core, resume
from tests.benchmarks.litellm_peer import VERSION as LITELLM_VERSION
from tests.benchmarks.litellm_peer import running_litellm
from tests.benchmarks.load import Drive, Load, LoadFigures, load_process
from tests.benchmarks.machine import load_per_core, machine_is_busy
from tests.benchmarks.portkey_peer import VERSION as PORTKEY_VERSION
from tests.benchmarks.portkey_peer import running_portkey
from tests.benchmarks.upstream import PACED, Upstream, running_upstream
from tests.support.screens import Desktop, prose
from tests.support.stack import ROOT, Stack, running_stack

MODEL = "gpt-6-luna"
ROUNDS = 3
WARM_UP_S = 1.0
SETTLE_S = 0.3
MAX_OUR_CORE_SHARE = 0.85
MAX_OTHERS_SHARE = 0.1
PATH = "/v1/chat/completions"
# The name of the test backend's process: it stands for the company's backend, not a part of the gateway.
BACKEND = "node"
PEERS = f"beside LiteLLM {LITELLM_VERSION} and Portkey {PORTKEY_VERSION}; CPU ms a request, all its processes"
T = TypeVar("T")
RAYROOM, LITELLM, PORTKEY, DIRECT, RAY_ONLY = "rayroom", "LiteLLM", "Portkey", "direct", "Ray alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One workload at one number of connections."""

    name: str
    body: bytes = field(repr=False)
    connections: int
    with_ray_only: bool = False
    """Whether Ray alone is measured with this case too."""
    streams: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A measured gateway: its address, the headers of each request, and its processes."""

    name: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    pids: Callable[[], Pids]
    core: int
    pauses: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The medians of all rounds of one contender at one case."""

    requests_per_s: float
    cpu_ms: float
    net_cpu_ms: float
    """`cpu_ms` without the CPU time that the processes use when idle."""
    p50_ms: float
    p95_ms: float
    first_ms: float
    errors: int
    our_core_share: float
    others_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures by case and contender, and the share of a core that each contender uses when idle."""

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
        Case(name="chat, 1 at once", body=text, connections=1, with_ray_only=True),
        Case(name="chat, 32 at once", body=text, connections=32, with_ray_only=True),
        Case(name="60 kB JPEG, 1 at once", body=picture, connections=1),
        Case(name="60 kB JPEG, 32 at once", body=picture, connections=32),
        Case(name="24 chunks, 16 at once", body=_body(f"{PACED} {words}", stream=True), connections=16, streams=True),
    )


def screen() -> bytes:
    """Return a screen of text as a JPEG of about 60 kB."""
    planes = Desktop(size=(1920, 1080), lines=prose(42, words=20)).planes()
    return encode(planes, long_side_px=1_024, quality=50).jpeg


def _body(content: object, **options: Any) -> bytes:
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": MODEL, "messages": messages, "max_tokens": 200, **options}).encode()


def run(seconds: float, rounds: int = ROUNDS, seed: int = 1) -> Result:
    """Return the medians over all rounds; in each round every case measures the contenders in random order."""
    gateway_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    rng = random.Random(seed)
    figures_by_turn: dict[tuple[str, str], list[LoadFigures]] = {}
    idle: dict[str, list[float]] = {}
    with (
        on_cores(load_core),
        load_process() as drive,
        running_contenders(gateway_core, load_core) as (upstream, contenders),
    ):
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for contender in contenders:
                if contender.pauses:
                    idle.setdefault(contender.name, []).append(_idle_share(contender, seconds))
            for case in cases():
                for contender in rng.sample(contenders, len(contenders)):
                    if contender.name != RAY_ONLY or case.with_ray_only:
                        figures_by_turn.setdefault((case.name, contender.name), []).append(
                            _turn(drive, case, contender, upstream, seconds)
                        )
    idle_share = {name: median(shares) for name, shares in idle.items()}
    figures: dict[str, dict[str, Figures]] = {}
    for (case_name, name), all_figures in figures_by_turn.items():
        figures.setdefault(case_name, {})[name] = _figures(all_figures, idle_share.get(name, 0.0))
    return Result(figures=figures, idle_share=idle_share)


@contextmanager
def running_contenders(gateway_core: int, load_core: int) -> Iterator[tuple[Upstream, list[Contender]]]:
    """Yield the contenders, started and then paused."""
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream())
        # Both cores are used until all are up, because a start takes far more CPU than anything after it.
        with on_cores(gateway_core, load_core):
            rayroom = stack.enter_context(_timed_start(RAYROOM, running_stack("app", _settings(upstream))))
            ray_only = stack.enter_context(
                _timed_start(RAY_ONLY, running_stack("app", None, "tests.benchmarks.ray_alone:build"))
            )
            litellm = stack.enter_context(_timed_start(LITELLM, running_litellm(ROOT, upstream.url, MODEL)))
            portkey = stack.enter_context(_timed_start(PORTKEY, running_portkey(ROOT, upstream.url)))
        for ray in (rayroom, ray_only):
            move(set(descendants(ray.pid)) - set(_ray_pids(ray)), load_core)
        token = asyncio.run(rayroom.open_room("tenant_acme_bench"))
        contenders = [
            Contender(
                name=RAYROOM,
                url=rayroom.plan.router_url + PATH,
                headers={"authorization": f"Bearer {token}"},
                pids=lambda: _ray_pids(rayroom),
                core=gateway_core,
            ),
            *(
                Contender(name=name, url=peer.url + PATH, headers=peer.headers, pids=peer.pids, core=gateway_core)
                for name, peer in ((LITELLM, litellm), (PORTKEY, portkey))
            ),
            Contender(
                name=RAY_ONLY,
                url=ray_only.plan.router_url + PATH,
                headers={},
                pids=lambda: _ray_pids(ray_only),
                core=gateway_core,
            ),
            Contender(
                name=DIRECT,
                url=upstream.url.removesuffix("/v1") + PATH,
                headers={},
                pids=lambda: (upstream.pid,),
                core=load_core,
                pauses=False,
            ),
        ]
        try:
            for contender in contenders:
                if contender.pauses:
                    move(contender.pids(), contender.core)
                    pause(contender.pids())
            yield upstream, contenders
        finally:
            for contender in contenders:
                resume(contender.pids())


@contextmanager
def _timed_start(name: str, starting: AbstractContextManager[T]) -> Iterator[T]:
    """Print the duration of a start: the starts take a large part of the run."""
    began_s = time.monotonic()
    with starting as started:
        print(f"{name} is up after {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        yield started


def _ray_pids(stack: Stack) -> Pids:
    return descendants(stack.pid, excluded_name=BACKEND)


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
def _resumed(contender: Contender) -> Iterator[None]:
    pids = contender.pids()
    resume(pids)
    try:
        time.sleep(SETTLE_S)
        if names := processes_off_core(pids, contender.core):
            raise RuntimeError(f"{contender.name} leaves its core: {', '.join(names)}")
        yield
    finally:
        if contender.pauses:
            pause(contender.pids())


def _idle_share(contender: Contender, seconds: float) -> float:
    """Return the share of a core that an idle contender uses."""
    with _resumed(contender):
        time.sleep(WARM_UP_S)
        pids = contender.pids()
        began_s, cpu_before_s = time.perf_counter(), cpu_s(pids)
        time.sleep(seconds)
        return (cpu_s(pids) - cpu_before_s) / (time.perf_counter() - began_s)


def _turn(drive: Drive, case: Case, contender: Contender, upstream: Upstream, seconds: float) -> LoadFigures:
    with _resumed(contender):
        return drive(
            Load(
                url=contender.url,
                headers=dict(contender.headers),
                body=case.body,
                connections=case.connections,
                warm_up_s=WARM_UP_S,
                seconds=seconds,
                pids=contender.pids(),
                core=contender.core,
                helpers=(upstream.pid,),
            )
        )


def _figures(all_figures: list[LoadFigures], idle_share: float) -> Figures:
    medians = {
        name: median(getattr(load_figures, name) for load_figures in all_figures)
        for name in ("requests_per_s", "cpu_ms", "p50_ms", "p95_ms", "first_ms", "our_core_share", "others_share")
    }
    net = median(load_figures.cpu_ms - 1_000 * idle_share / load_figures.requests_per_s for load_figures in all_figures)
    return Figures(**medians, net_cpu_ms=net, errors=sum(load_figures.errors for load_figures in all_figures))


def others_share(result: Result) -> float:
    """Return the largest share of the gateways' core that other processes used in a case."""
    compared = (figures for by_name in result.figures.values() for name, figures in by_name.items() if name != DIRECT)
    return max(figures.others_share for figures in compared)


def goals(result: Result) -> list[Goal]:
    """Return every goal with its measured value; CPU includes the idle share."""
    measured = []
    for case in cases():
        rayroom, litellm = (result.figures[case.name][name] for name in (RAYROOM, LITELLM))
        measured.append(_goal(f"{case.name}: requests a CPU second, times", litellm.cpu_ms / rayroom.cpu_ms, ">=", 5.0))
        measured.append(_goal(f"{case.name}: p50, share", rayroom.p50_ms / litellm.p50_ms, "<=", 1.0))
        if case.streams:
            measured.append(
                _goal(f"{case.name}: first chunk, times sooner", litellm.first_ms / rayroom.first_ms, ">=", 5.0)
            )
        if case.with_ray_only and case.connections == 1:
            ray_only = result.figures[case.name][RAY_ONLY]
            measured.append(
                _goal(f"{case.name}: CPU ms beyond Ray", rayroom.net_cpu_ms - ray_only.net_cpu_ms, "<=", 1.0)
            )
            measured.append(_goal(f"{case.name}: p50 ms beyond Ray", rayroom.p50_ms - ray_only.p50_ms, "<=", 2.0))
    errors = sum(figures.errors for by_name in result.figures.values() for figures in by_name.values())
    return [*measured, _goal("errors", errors, "<=", 0.0)]


def _goal(what: str, value: float, sign: str, bound: float) -> Goal:
    return Goal(what=what, value=value, sign=sign, bound=bound)


def _print(result: Result) -> None:
    headings = ("requests/s", "CPU ms", "net", "p50 ms", "p95 ms", "first text ms", "errors", "load core")
    table = Table("case", "asked", *headings, title=PEERS)
    for case_name, by_name in result.figures.items():
        for name, figures in sorted(by_name.items()):
            times = (
                f"{value:.2f}"
                for value in (figures.cpu_ms, figures.net_cpu_ms, figures.p50_ms, figures.p95_ms, figures.first_ms)
            )
            load_core = f"{figures.our_core_share:.0%}" + ("!" if figures.our_core_share > MAX_OUR_CORE_SHARE else "")
            table.add_row(case_name, name, f"{figures.requests_per_s:.0f}", *times, str(figures.errors), load_core)
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
    if machine_is_busy(options.force):
        return 2
    result = run(options.seconds, options.rounds)
    _print(result)
    if options.json is not None:
        goal_rows = [asdict(goal) | {"met": goal.met} for goal in goals(result)]
        report = {
            "litellm": LITELLM_VERSION,
            "portkey": PORTKEY_VERSION,
            "load_per_core": load_per_core(),
            **asdict(result),
            "goals": goal_rows,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    if (others := others_share(result)) > MAX_OTHERS_SHARE and not options.force:
        print(f"Others took {others:.0%} of the gateways' core: this run says nothing (--force).", file=sys.stderr)
        return 2
    return 0 if all(goal.met for goal in goals(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
