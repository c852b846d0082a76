"""Measures the parts of the benchmark: pairs, sessions, motion, cameras and odd sizes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cluster.lab.emulator.engines.ocr import OcrEngine
from room_agent.video.view_encoder import ViewEncoder
from tests.benchmarks.frames import (
    animations,
    cameras,
    costs,
    pair_figures,
    pairs,
    readability,
    reuse,
    session_figures,
    sessions,
)
from tests.benchmarks.frames.contact_sheet import SessionSheet
from tests.benchmarks.frames.contestants import GateSampler
from tests.benchmarks.frames.pair_figures import JudgedPair, PairScore
from tests.benchmarks.frames.session_figures import SamplerRun, SessionScore
from tests.benchmarks.frames.themes import TUNED_PALETTES, UNSEEN_PALETTES

Figures = dict[str, float]

TUNE_SEEDS, REPORT_SEEDS = (1, 2), (501, 502)
"""Thresholds are tuned on the first seeds; figures are reported on the others, with palettes unseen before."""
_LONE = ("one cell", "one figure")


def judged(seeds: Sequence[int], count: int, console: Console) -> list[JudgedPair]:
    """Return `count` judged pairs of each seed."""
    found = []
    for seed in seeds:
        palettes = TUNED_PALETTES if seed in TUNE_SEEDS else TUNED_PALETTES + UNSEEN_PALETTES
        for number, pair in enumerate(pairs.pairs(seed, count, palettes), 1):
            found.append(pair_figures.judge(pair))
            if number % 100 == 0:
                console.print(f"seed {seed}: {number} pairs", style="dim")
    return found


def print_pairs(scores: Sequence[PairScore], judged_pairs: Sequence[JudgedPair], console: Console) -> Figures:
    """Print the pairs' tables and return their figures."""
    table = Table("pairs", "limit", "precision", "recall", "F1", *(group for group, _ in _groups()))
    for score in scores:
        limit = "" if score.limit is None else f"{score.limit:.3g}"
        groups = (f"{pair_figures.share(score, kinds):.3f}" for _, kinds in _groups())
        table.add_row(score.name, limit, f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}", *groups)
    console.print(table)
    by_kind = Table("kind", "group", *(score.name for score in scores))
    for kind, group in pairs.KINDS:
        cells = (f"{fired}/{total}" for fired, total in (score.fired.get(kind, (0, 0)) for score in scores))
        by_kind.add_row(kind, group, *cells)
    console.print(by_kind)
    _print_wrong(judged_pairs, console)
    return _pair_goals(scores[0])


def _groups() -> list[tuple[str, list[str]]]:
    names = dict.fromkeys(group for _, group in pairs.KINDS)
    return [(f"{name} sent", [kind for kind, group in pairs.KINDS if group == name]) for name in names]


def _pair_goals(gate: PairScore) -> Figures:
    changed = [kind for kind, group in pairs.KINDS if group == "changed" and kind not in _LONE]
    kept_out = {
        "pointer": ("pointer far", "pointer near", "pointer arrives", "pointer leaves", "pointer changes shape"),
        "caret": ("caret", "caret and pointer"),
        "clock": ("clock",),
        "codec noise": ("codec noise", "key frame", "cold start", "half-size layer"),
    }
    return {
        "pairs: F1 as the gate sends": gate.f1,
        "pairs: worst changed kind, but for one cell and one figure": min(
            pair_figures.share(gate, [kind]) for kind in changed if kind in gate.fired
        ),
        **{f"pairs: {kind}": pair_figures.share(gate, [kind]) for kind in _LONE},
        "pairs: colour only": pair_figures.share(gate, [kind for kind, group in pairs.KINDS if group == "colour"]),
        "pairs: small edits within 10 s": pair_figures.share(
            gate, [kind for kind, group in pairs.KINDS if group == "small"]
        ),
        **{f"pairs: {name} kept out": 1 - pair_figures.share(gate, kinds) for name, kinds in kept_out.items()},
    }


def _print_wrong(judged_pairs: Sequence[JudgedPair], console: Console) -> None:
    wrong = [pair for pair in judged_pairs if (pair.sent_after_s is not None) != pair.is_content]
    for pair in wrong:
        where = f"{pair.screen}, {pair.theme}, {pair.codec}"
        console.print(f"wrong: {pair.kind} ({where}): {pair.why}", style="dim", highlight=False)


def measure_sessions(
    seeds: Sequence[int], limits: dict[str, float], seconds: int, console: Console, sheets: Path | None = None
) -> tuple[list[SessionScore], Figures]:
    """Run every contestant over every session; return the scores and the gate's figures."""
    runs: dict[str, list[tuple[SamplerRun, Sequence[object]]]] = {}
    peer_ms: list[float] = []
    for seed in seeds:
        for plan in sessions.PLANS:
            looks = sessions.looks(plan, seed, TUNED_PALETTES + UNSEEN_PALETTES, seconds)
            sheet = SessionSheet() if sheets is not None else None
            by_name, contents, times_ms = session_figures.run(looks, limits, sheet)
            if sheet is not None and sheets is not None:
                sheet.save(sheets / f"{plan.name.replace(' ', '-')}-{seed}.png")
            peer_ms += times_ms
            for name, one in by_name.items():
                runs.setdefault(name, []).append((one, contents))
            gate = session_figures.score(plan.name, [(by_name[session_figures.GATE], contents)])
            console.print(
                f"{plan.name}: {gate.sent} of {gate.looks} sent, {gate.seen} of {gate.states} seen", style="dim"
            )
    scores = [session_figures.score(name, found) for name, found in runs.items()]
    return scores, _session_figures(scores[0], statistics.median(peer_ms))


def _session_figures(gate: SessionScore, peer_ms: float) -> Figures:
    hour_usd = costs.hour_usd(gate.sent_an_hour)
    strong, routed, own = hour_usd.values()
    repeat_ms = statistics.median(gate.repeat_ms)
    return {
        "sessions: share of looks sent": gate.sent / gate.looks,
        "sessions: states of 3 s seen": gate.seen / max(gate.states, 1),
        "sessions: median seconds until seen": gate.median_s,
        "sessions: worst seconds until seen": gate.worst_s,
        "sessions: saved against every frame to the strong model": 1 - own / strong,
        "sessions: saved against every frame routed": 1 - own / routed,
        "sessions: median ms of a repeat": repeat_ms,
        "sessions: times faster than convert + ImageHash": peer_ms / repeat_ms,
    }


def print_sessions(scores: Sequence[SessionScore], console: Console) -> None:
    """Print the sessions' table and the price of an hour."""
    table = Table("sessions", "sent", "of looks", "reused", "states of 3 s seen", "median s", "worst s", "repeat ms")
    for score in scores:
        repeat_ms = f"{statistics.median(score.repeat_ms):.2f}" if score.repeat_ms else ""
        share = f"{score.sent / score.looks:.3f}"
        seen = f"{score.seen} of {score.states}"
        table.add_row(
            score.name,
            str(score.sent),
            share,
            str(score.reused),
            seen,
            f"{score.median_s:.1f}",
            f"{score.worst_s:.1f}",
            repeat_ms,
        )
    console.print(table)
    for name, usd in costs.hour_usd(scores[0].sent_an_hour).items():
        console.print(f"{name}: ${usd:.3f} an hour ({costs.CHEAP}, {costs.STRONG})")


def measure_motion(seed: int, seconds: int, console: Console) -> Figures:
    """Print the frames an hour of each kind of motion, and when a line beside it was sent."""
    table = Table("motion", "frames an hour", "lines seen", "median s", "worst s")
    rates, latencies = [], []
    for motion in animations.MOTIONS:
        gate, contents, known, sent = GateSampler(), [], [], 0
        for look in animations.looks(motion, seed, TUNED_PALETTES, seconds):
            outcome = gate.offer(look.planes, look.at_s)
            contents.append(look.content)
            known.append(outcome.known)
            sent += outcome.sent
        lines = animations.line_latencies(contents, known)
        seen = [latency for latency in lines if latency is not None]
        rates.append(3_600 * sent / seconds)
        latencies += [float("inf") if latency is None else latency for latency in lines]
        median, worst = (f"{statistics.median(seen):.1f}", f"{max(seen):.1f}") if seen else ("", "")
        table.add_row(motion, f"{rates[-1]:.0f}", f"{len(seen)} of {len(lines)}", median, worst)
    console.print(table)
    return {
        "motion: most frames an hour of any kind": max(rates),
        "motion: median seconds of a line beside it": statistics.median(latencies) if latencies else float("nan"),
        "motion: worst seconds of a line beside it": max(latencies, default=float("nan")),
    }


def measure_cameras(seed: int, seconds: int, console: Console) -> Figures:
    """Print the frames a minute of each camera, and whether odd sizes are judged rightly."""
    table = Table("camera", "frames a minute")
    rates = []
    for camera in cameras.CAMERAS:
        gate = GateSampler()
        sent = sum(gate.offer(look.planes, look.at_s).sent for look in cameras.looks(camera, seed, seconds))
        rates.append(60 * sent / seconds)
        table.add_row(camera, f"{rates[-1]:.1f}")
    console.print(table)
    right = [_odd_size_is_right(size_px, seed) for size_px in cameras.ODD_SIZES]
    console.print(f"odd sizes right: {sum(right)} of {len(right)}")
    return {"cameras: most frames a minute": max(rates), "odd sizes: right": sum(right) / len(right)}


def measure_reuse(seeds: Sequence[int], seconds: int, pairs_count: int, console: Console) -> Figures:
    """Print the requests that screens which return save, and the edited ones that were taken for their originals."""
    palettes = TUNED_PALETTES + UNSEEN_PALETTES
    table = Table("session", "sent", "reused", "saved", "wrongly reused")
    totals = []
    for plan in reuse.RETURNING:
        total = reuse.score(sessions.looks(plan, seed, palettes, seconds) for seed in seeds)
        saved = total.reused / (total.sent + total.reused)
        table.add_row(plan.name, str(total.sent), str(total.reused), f"{saved:.3f}", str(total.wrong))
        totals.append(total)
    console.print(table)
    sent, reused = sum(total.sent for total in totals), sum(total.reused for total in totals)
    found = list(reuse.edited_returns(seeds[0], pairs_count, palettes))
    taken = [one for one in found if not one.edited_is_new]
    for one in taken:
        console.print(f"taken for its original: {one.screen}, {one.theme}, {one.codec}: {one.why}", style="dim")
    recognised = sum(one.found for one in found)
    console.print(f"originals recognised: {recognised} of {len(found)}; edited ones taken for them: {len(taken)}")
    return {
        "reuse: share of requests saved": reused / (sent + reused),
        "reuse: wrongly reused": float(len(taken) + sum(total.wrong for total in totals)),
    }


def measure_reading(seed: int, changes: int, console: Console) -> Figures:
    """Print the words that OCR reads of changes with text of 12 px, as they are sent now and at 1024 px."""
    table = Table("screen", "model", "edits read", "at 1024 px", "scenes read", "at 1024 px", "tokens", "at 1024 px")
    recalls, shares, scenes = [], [], []
    ocr = OcrEngine()
    for size_px in readability.SIZES:
        encoders = {name: ViewEncoder(readability.TODAY_PX, readability.rule_of(name)) for name in readability.MODELS}
        found = [
            read
            for change in readability.changes(seed, size_px, changes)
            for read in readability.read(change, ocr, encoders)
        ]
        for name in readability.MODELS:
            of_model = [read for read in found if read.model == name]
            edits = [read for read in of_model if read.edit not in readability.SCENES]
            new = [read for read in of_model if read.edit in readability.SCENES]
            tokens, today = (sum(getattr(read, kind) for read in of_model) for kind in ("tokens", "tokens_today"))
            recalls.append(readability.recall(edits))
            shares.append(tokens / max(today, 1))
            scenes += new
            cells = [readability.recall(edits), readability.recall_today(edits)]
            cells += [readability.recall(new), readability.recall_today(new)]
            count = max(len(of_model), 1)
            table.add_row(
                "x".join(map(str, size_px)),
                name,
                *(f"{cell:.2f}" for cell in cells),
                f"{tokens / count:.0f}",
                f"{today / count:.0f}",
            )
    console.print(table)
    return {
        "reading: least word recall of edits at any size": min(recalls),
        "reading: word recall of new scenes": readability.recall(scenes),
        "reading: most tokens a frame, as a share of today's": max(shares),
    }


def _odd_size_is_right(size_px: tuple[int, int], seed: int) -> bool:
    before, after = cameras.odd_looks(size_px, seed, TUNED_PALETTES)
    gate = GateSampler()
    first, *repeats = [gate.offer(planes, float(second)).sent for second, planes in enumerate(before)]
    edited = [gate.offer(planes, float(len(before) + second)).sent for second, planes in enumerate(after)]
    return first and not any(repeats) and any(edited)
