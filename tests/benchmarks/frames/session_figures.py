"""Runs contestants over sessions: looks sent, states seen, latency, cost an hour, and the time a look takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.frames.contact_sheet import SessionSheet
from tests.benchmarks.frames.contestants import (
    PEERS,
    DistanceSampler,
    EverySampler,
    GateSampler,
    LookSampler,
    converted_hash_ms,
)
from tests.benchmarks.frames.sessions import SessionLook

STABLE_S = 3
"""A state that stays this long has to be seen."""
GATE, EVERY = "frame gate", "every frame"
_TIMED_EVERY = 5


@dataclass(slots=True)
class SamplerRun:
    """The decisions of one contestant on one session."""

    sampler: LookSampler
    sent: list[bool] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)

    def offer(self, look: SessionLook) -> None:
        start_s = time.perf_counter()
        outcome = self.sampler.offer(look.planes, look.at_s)
        self.took_ms.append((time.perf_counter() - start_s) * 1000)
        self.sent.append(outcome.sent)
        self.known.append(outcome.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class StableState:
    """A content that stayed: its first and last look, and the look at which it was known."""

    first: int
    last: int
    known_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionScore:
    """The figures of one contestant over all sessions. Latencies are in seconds, over the states that were seen."""

    name: str
    looks: int
    sent: int
    reused: int
    states: int
    seen: int
    latencies_s: tuple[float, ...]
    repeat_ms: tuple[float, ...]

    @property
    def sent_an_hour(self) -> float:
        return 3_600 * self.sent / self.looks

    @property
    def median_s(self) -> float:
        return statistics.median(self.latencies_s) if self.latencies_s else float("nan")

    @property
    def worst_s(self) -> float:
        return max(self.latencies_s, default=float("nan"))


def samplers(limits: dict[str, float]) -> dict[str, LookSampler]:
    """Return a new sampler of each contestant. `limits` are the peers' tuned limits."""
    peers: dict[str, LookSampler] = {peer.name: DistanceSampler(peer, limits[peer.name]) for peer in PEERS}
    return {GATE: GateSampler(), **peers, EVERY: EverySampler()}


def run(
    looks: Iterable[SessionLook], limits: dict[str, float], sheet: SessionSheet | None = None
) -> tuple[dict[str, SamplerRun], list[object], list[float]]:
    """Return each contestant's decisions, each look's content, and the times of convert + ImageHash in ms."""
    runs = {name: SamplerRun(sampler) for name, sampler in samplers(limits).items()}
    contents: list[object] = []
    peer_ms: list[float] = []
    for number, look in enumerate(looks):
        contents.append(look.content)
        for one in runs.values():
            one.offer(look)
        gate = runs[GATE]
        if sheet is not None:
            sheet.add(look.planes, sent=gate.sent[-1], known=gate.known[-1], at_s=look.at_s)
        if number % _TIMED_EVERY == 0:
            peer_ms.append(converted_hash_ms(look.planes))
    return runs, contents, peer_ms


def stable_states(contents: Sequence[object], known: Sequence[bool]) -> list[StableState]:
    """Return the states that stayed `STABLE_S` seconds or longer."""
    states, first = [], 0
    for index in range(1, len(contents) + 1):
        if index < len(contents) and contents[index] == contents[first]:
            continue
        # Looks are a second apart, so a state of three seconds has four looks but for the last of the session.
        if index - first > STABLE_S:
            known_at = _known_at(contents, known, first, index)
            states.append(StableState(first=first, last=index - 1, known_at=known_at))
        first = index
    return states


def _known_at(contents: Sequence[object], known: Sequence[bool], first: int, end: int) -> int | None:
    """Return the look of a state at which it was known: at once where it is that of the last look known before."""
    before = next((at for at in range(first - 1, -1, -1) if known[at]), None)
    if before is not None and contents[before] == contents[first]:
        return first
    return next((at for at in range(first, end) if known[at]), None)


def score(name: str, sessions: Sequence[tuple[SamplerRun, Sequence[object]]]) -> SessionScore:
    """Return one contestant's figures over its runs."""
    states = [state for run, contents in sessions for state in stable_states(contents, run.known)]
    repeats = [
        took_ms
        for run, _ in sessions
        for took_ms, sent, known in zip(run.took_ms, run.sent, run.known, strict=True)
        if not sent and not known
    ]
    return SessionScore(
        name=name,
        looks=sum(len(run.sent) for run, _ in sessions),
        sent=sum(sum(run.sent) for run, _ in sessions),
        reused=sum(known and not sent for run, _ in sessions for known, sent in zip(run.known, run.sent, strict=True)),
        states=len(states),
        seen=sum(state.known_at is not None for state in states),
        latencies_s=tuple(float(state.known_at - state.first) for state in states if state.known_at is not None),
        repeat_ms=tuple(repeats),
    )
