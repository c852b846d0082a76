"""Measures from the end of a spoken question to the first sound of its answer, beside a plain livekit-agents session.

Run `python -m tests.benchmarks.bench_voice`. All contestants join rooms of one livekit-server, each in a process of
its own, with one emulator in place of the vendors, the same detector and the same pause. They are asked in turn, and
rejoin after every five turns: the start of a track settles the delay of its sound by up to 20 ms. The first pass has
vendors that take no time, the second their published latencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import uvicorn
from rich.console import Console
from rich.table import Table

from cluster.lab.demo.speech_synth import silence, speech
from cluster.lab.emulator import Emulator, EmulatorState
from cluster.lab.emulator.core.engines import Engines
from deployments.common.settings import VendorSettings
from deployments.routes import build_routes
from routing.latency import percentile
from routing.models import Passage
from tests.benchmarks.machine import load_per_core, machine_is_busy
from tests.benchmarks.voice_contestants import RAYROOM, ROOMS, ConnectionSettings, Contestant
from tests.benchmarks.voice_turn import STAGES, RecordedLatencyModel, Row, row_of
from tests.support.eventually import eventually
from tests.support.gateway import KEYS, Tenants, gateway_in_process
from tests.support.livekit_server import LiveKit, running_livekit
from tests.support.speaking_participant import SpeakingParticipant, joined
from tests.support.speech_settings import settings_for
from tests.support.stack import running_stack

MODEL = "gpt-6-luna"
QUESTION = "What does the second chart say?"
ANSWER = "The second chart says forty two. It said forty one before."
SPOKEN_MS = 600
TURNS, TURNS_PER_JOIN, WARM_UP_TURNS = 20, 5, 1
TURN_TIMEOUT_S = 15.0
SOUNDS, WARM_UP_MS = 10, 3_000
QUIET_S = 0.2
KEEP_ALIVE_S = 90
GOAL_OWN_MS = 150.0
INSTANT, PUBLISHED = "vendors that take no time", "published latencies"
SPEEDS = {INSTANT: math.inf, PUBLISHED: 1.0}


class OnePassageDirectory(Tenants):
    """A tenant directory with one passage per tenant, so that every search has a result."""

    async def search(self, tenant_id: str, query: str, embedding: tuple[float, ...], top_k: int) -> tuple[Passage, ...]:
        return (Passage(passage_id="p", source="charts.md", text="The second chart has two bars. " * 20, score=0.9),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """The router of rayroom's agent."""

    url: str
    agent_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRoom:
    """A room with a contestant and the participant that asks the questions."""

    participant: SpeakingParticipant
    contestant: Contestant


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The turns by latency setting and contestant, and the number of turns without an answer."""

    rows: dict[str, dict[str, list[Row]]]
    lost: int
    pause_s: float
    room_ms: float
    """The round trip of a sound between two participants: the server, two codecs, two jitter buffers."""


async def run(turns: int, pause_s: float, on_ray: bool) -> Result:
    """Ask each contestant in turn, `turns` times, first without vendor latencies and then with them."""
    emulator = Emulator(EmulatorState(engines=Engines(answerer=lambda _: ANSWER)))
    rows: dict[str, dict[str, list[Row]]] = {}
    lost = 0
    with ExitStack() as processes:
        livekit = processes.enter_context(running_livekit())
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(emulator.running())
            router = await stack.enter_async_context(_on_ray(emulator) if on_ray else _in_process(emulator))
            contestants = {
                name: Contestant(name, _connection_settings(name, livekit, emulator, router, pause_s)) for name in ROOMS
            }
            for contestant in contestants.values():
                processes.callback(contestant.close)
            for latencies, speed in SPEEDS.items():
                print(latencies, file=sys.stderr, flush=True)
                rows[latencies] = {name: [] for name in ROOMS}
                for begin in range(0, turns, TURNS_PER_JOIN):
                    numbers = range(begin - WARM_UP_TURNS, min(begin + TURNS_PER_JOIN, turns))
                    async with _joined_rooms(livekit, contestants) as joined_rooms:
                        for number, (name, joined_room) in product(numbers, joined_rooms.items()):
                            row = await _turn(joined_room, emulator, RecordedLatencyModel(number, speed), pause_s)
                            lost += row is None
                            if row is not None and number >= begin:
                                rows[latencies][name].append(row)
            room_ms = 2 * 1_000 * await _room_delay_s(livekit)
    return Result(rows=rows, lost=lost, pause_s=pause_s, room_ms=room_ms)


async def _turn(
    joined_room: JoinedRoom, emulator: Emulator, latency: RecordedLatencyModel, pause_s: float
) -> Row | None:
    """Ask one question; return None if no answer was audible in time."""
    participant = joined_room.participant
    await _wait_for_silence(participant)
    emulator.state.latency = latency
    emulator.script.add(QUESTION)
    await joined_room.contestant.send("begin")
    participant.agent_audio().loud_at_s = None
    await participant.play(speech(SPOKEN_MS))
    assert participant.microphone is not None
    silent_at_s = time.monotonic() + participant.microphone.queued_duration
    try:
        async with asyncio.timeout(TURN_TIMEOUT_S):
            while participant.agent_audio().loud_at_s is None:
                await participant.play(silence(60))
    except TimeoutError:
        return None
    stamps = await joined_room.contestant.send("report")
    loud_at_s = participant.agent_audio().loud_at_s
    assert loud_at_s is not None
    return row_of(silent_at_s, stamps, loud_at_s, latency.latencies, pause_s)


async def _room_delay_s(livekit: LiveKit) -> float:
    """Return the delay of a sound through a room with two participants."""
    async with joined(livekit, "echo", "agent") as speaker, joined(livekit, "echo", "ann") as listener:
        # A new track has larger buffers at first.
        await speaker.play(speech(WARM_UP_MS))
        return percentile(sorted([await _sound_delay_s(speaker, listener) for _ in range(SOUNDS)]), 0.5)


async def _sound_delay_s(speaker: SpeakingParticipant, listener: SpeakingParticipant) -> float:
    assert speaker.microphone is not None
    await speaker.play(silence(300))
    listener.agent_audio().loud_at_s = None
    spoken_at_s = time.monotonic() + speaker.microphone.queued_duration
    async with asyncio.timeout(TURN_TIMEOUT_S):
        await speaker.play(speech(200))
        while listener.agent_audio().loud_at_s is None:
            await speaker.play(silence(60))
    loud_at_s = listener.agent_audio().loud_at_s
    assert loud_at_s is not None
    return loud_at_s - spoken_at_s


async def _wait_for_silence(participant: SpeakingParticipant) -> None:
    """Wait until the previous answer has ended."""
    heard_ms = -1
    async with asyncio.timeout(TURN_TIMEOUT_S):
        while heard_ms != participant.agent_speech_ms:
            heard_ms = participant.agent_speech_ms
            await asyncio.sleep(QUIET_S)


@asynccontextmanager
async def _joined_rooms(livekit: LiveKit, contestants: dict[str, Contestant]) -> AsyncIterator[dict[str, JoinedRoom]]:
    async with AsyncExitStack() as stack:
        joined_rooms = {}
        for name, contestant in contestants.items():
            participant = await stack.enter_async_context(joined(livekit, ROOMS[name], "ann"))
            await stack.enter_async_context(contestant.joined())
            joined_rooms[name] = JoinedRoom(participant=participant, contestant=contestant)
        yield joined_rooms


def _connection_settings(
    name: str, livekit: LiveKit, emulator: Emulator, router: Router, pause_s: float
) -> ConnectionSettings:
    return ConnectionSettings(
        livekit_url=livekit.url,
        livekit_token=livekit.token(ROOMS[name], "agent"),
        router_url=router.url,
        agent_key=router.agent_key,
        model=MODEL,
        model_url=emulator.base_urls()["openai"],
        speech=settings_for(emulator, pause_s=pause_s),
    )


def _vendors(emulator: Emulator) -> dict[str, dict[str, Any]]:
    urls = emulator.base_urls()
    return {name: {"api": name, "base_url": urls[name], "api_key_env": None} for name in ("openai", "voyage")}


@asynccontextmanager
async def _in_process(emulator: Emulator) -> AsyncIterator[Router]:
    """Serve the gateway from this process on its own port."""
    vendors = {name: VendorSettings.model_validate(vendor) for name, vendor in _vendors(emulator).items()}
    with tempfile.TemporaryDirectory() as path:
        async with gateway_in_process(Path(path), vendors, directory=OnePassageDirectory()) as (gateway, _):
            # Keep-alive is the same as in Serve.
            # uvicorn opens the socket itself: with a socket passed to it, Nagle's algorithm would stay on.
            server = uvicorn.Server(
                uvicorn.Config(
                    build_routes(gateway), port=0, log_level="warning", lifespan="off", timeout_keep_alive=KEEP_ALIVE_S
                )
            )
            serving = asyncio.create_task(server.serve())
            try:
                await eventually(lambda: server.started or serving.done())
                host, port = server.servers[0].sockets[0].getsockname()
                yield Router(url=f"http://{host}:{port}", agent_key=KEYS.agent[0])
            finally:
                server.should_exit = True
                async with asyncio.timeout(10):
                    await serving


@asynccontextmanager
async def _on_ray(emulator: Emulator) -> AsyncIterator[Router]:
    """Run the Serve app. Its backend returns no passages, but a search takes the same time."""
    single_replica = {"min_replicas": 1, "max_replicas": 1}
    args: dict[str, dict[str, Any]] = {
        "vendors": _vendors(emulator),
        "llm": {"simple": [MODEL], "complex": [MODEL]},
        "scaling": {name: single_replica for name in ("router", "vision", "llm", "embeddings")},
    }
    with ExitStack() as processes:
        app = await asyncio.to_thread(processes.enter_context, running_stack("app", args))
        try:
            yield Router(url=app.plan.router_url, agent_key=app.plan.agent_key)
        finally:
            await asyncio.to_thread(processes.close)


def figure(rows: list[Row], stage: str, share: float) -> float:
    return percentile(sorted(row[stage] for row in rows), share)


def goals(result: Result) -> dict[str, bool]:
    """Return every goal with its measured figure, and whether it was met."""
    met_goals = {}
    for latencies, by_name in result.rows.items():
        own_ms = figure(by_name[RAYROOM], "own", 0.5)
        met_goals[f"{latencies}: own share p50 {own_ms:.0f} ms <= {GOAL_OWN_MS:.0f}"] = own_ms <= GOAL_OWN_MS
    return met_goals | {f"turns without an answer {result.lost} <= 0": result.lost == 0}


def _print(result: Result) -> None:
    console = Console(width=130)
    pause_ms = round(1_000 * result.pause_s)
    for latencies, by_name in result.rows.items():
        headings = [f"{name}: p50, p95" for name in by_name]
        table = Table("ms", *headings, title=f"{latencies}; {min(map(len, by_name.values()))} turns each")
        for column in table.columns[1:]:
            column.justify = "right"
        for stage, title in STAGES.items():
            pairs = ((figure(rows, stage, 0.5), figure(rows, stage, 0.95)) for rows in by_name.values())
            table.add_row(title, *(f"{p50_ms:.0f} {p95_ms:6.0f}" for p50_ms, p95_ms in pairs))
            if stage == "heard":
                table.add_row("  of it the pause, which is a choice", *[str(pause_ms)] * len(by_name))
        table.add_row("  beside it: a sound through the room and back", *[f"{result.room_ms:.0f}"] * len(by_name))
        console.print(table)
    console.print(
        f"The pause, {pause_ms} ms of silence that end a question, is a choice (RAYROOM_PAUSE_S), not an overhead."
        " rayroom searches the knowledge base before each request; the sessions do not."
    )
    for goal, met in goals(result).items():
        console.print(f"{'ok    ' if met else 'MISSED'} {goal}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds of silence that end a question")
    parser.add_argument("--ray", action="store_true", help="ask the running Serve app, not the gateway in this process")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--json", type=Path, help="write every turn and goal to a file")
    return parser.parse_args()


def main() -> int:
    """Return 0 when every goal is met, 1 when one is missed, 2 when the machine is too busy to measure."""
    options = _arguments()
    if machine_is_busy(options.force):
        return 2
    result = asyncio.run(run(options.turns, options.pause, options.ray))
    _print(result)
    if options.json is not None:
        report = {"load_per_core": load_per_core(), "on_ray": options.ray, **asdict(result), "goals": goals(result)}
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0 if all(goals(result).values()) else 1


if __name__ == "__main__":
    sys.exit(main())
