"""Judges pairs with every contestant, tunes the peers on one set of seeds and counts on another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.frames.contestants import PEERS, GateSampler
from tests.benchmarks.frames.pairs import FramePair

GATE, FIRST_LOOK, EVERY = "frame gate, as it sends", "frame gate, first look", "every frame, routed guide"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """One pair's label, the peers' distances, and the gate's decisions."""

    kind: str
    group: str
    screen: str
    theme: str
    codec: str
    is_content: bool
    distances: dict[str, float]
    first_look: bool
    sent_after_s: float | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScore:
    """Precision, recall and F1 of one contestant, and the pairs that fired of all pairs, by kind."""

    name: str
    limit: float | None
    precision: float
    recall: float
    f1: float
    fired: dict[str, tuple[int, int]]


def judge(pair: FramePair) -> JudgedPair:
    """Return a pair's figures; the gate is offered all its looks in order, each peer the two at the event."""
    gate = GateSampler()
    for look in pair.before:
        gate.offer(look.planes, look.at_s)
    event_s, first_look, sent_s, why = pair.after[0].at_s, False, None, ""
    for number, look in enumerate(pair.after):
        outcome = gate.offer(look.planes, look.at_s)
        first_look = gate.first_look if number == 0 else first_look
        if outcome.sent and sent_s is None:
            sent_s, why = look.at_s - event_s, outcome.why
        if number == 0 and not outcome.sent:
            why = outcome.why
    return JudgedPair(
        kind=pair.kind,
        group=pair.group,
        screen=pair.screen,
        theme=pair.theme,
        codec=pair.codec,
        is_content=pair.is_content,
        distances=_distances(pair),
        first_look=first_look,
        sent_after_s=sent_s,
        why=why,
    )


def _distances(pair: FramePair) -> dict[str, float]:
    before, after = pair.before[-1].planes, pair.after[0].planes
    return {peer.name: peer.distance(peer.summarize(before), peer.summarize(after)) for peer in PEERS}


def tuned_limits(judged: Sequence[JudgedPair]) -> dict[str, float]:
    """Return the limit of each peer that has the highest F1 on these pairs."""
    limits = {}
    for peer in PEERS:
        candidates = np.unique(np.quantile([pair.distances[peer.name] for pair in judged], np.linspace(0, 1, 200)))
        limits[peer.name] = max(candidates, key=lambda limit: _score(peer.name, judged, float(limit)).f1)
    return {name: float(limit) for name, limit in limits.items()}


def scores(judged: Sequence[JudgedPair], limits: dict[str, float]) -> list[PairScore]:
    """Return every contestant's score on these pairs."""
    return [
        _counted(GATE, None, judged, [pair.sent_after_s is not None for pair in judged]),
        _counted(FIRST_LOOK, None, judged, [pair.first_look for pair in judged]),
        *(_score(peer.name, judged, limits[peer.name]) for peer in PEERS),
        _counted(EVERY, None, judged, [True] * len(judged)),
    ]


def _score(name: str, judged: Sequence[JudgedPair], limit: float) -> PairScore:
    return _counted(name, limit, judged, [pair.distances[name] > limit for pair in judged])


def _counted(name: str, limit: float | None, judged: Sequence[JudgedPair], fired: Iterable[bool]) -> PairScore:
    by_kind: dict[str, list[bool]] = defaultdict(list)
    right = wrong = missed = 0
    for pair, one in zip(judged, fired, strict=True):
        by_kind[pair.kind].append(one)
        right += one and pair.is_content
        wrong += one and not pair.is_content
        missed += pair.is_content and not one
    precision, recall = right / max(right + wrong, 1), right / max(right + missed, 1)
    return PairScore(
        name=name,
        limit=limit,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(precision + recall, 1e-9),
        fired={kind: (sum(group), len(group)) for kind, group in by_kind.items()},
    )


def share(score: PairScore, kinds: Iterable[str]) -> float:
    """Return the share of the kinds' pairs that fired; NaN without a pair."""
    counts = [score.fired[kind] for kind in kinds if kind in score.fired]
    total = sum(count for _, count in counts)
    return sum(fired for fired, _ in counts) / total if total else float("nan")
