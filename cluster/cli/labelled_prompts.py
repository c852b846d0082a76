"""Evaluation of a score against labelled prompts: how well it finds the prompts worth a strong model.

A router that sends the share s of the prompts to the strong model recovers a part of the quality gap between always
weak (0) and always strong (1): the performance gap recovered, PGR(s).
APGR   the mean of PGR over all shares: 0.5 for a random router.
PGR@s  the gap recovered at one share.
CPT50  the smallest share that recovers half of the gap.
Prompts with the same score have no order: the curve is straight across them.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from routing.errors import BadInput
from routing.share import ShareControl

COLUMNS = ("prompt", "weak_correct", "strong_correct")
_BOOLEANS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPrompt:
    """One prompt, and the correctness of each model's answer: 0 wrong, 1 right."""

    prompt: str = field(repr=False)
    weak_correct: float
    strong_correct: float

    @property
    def gain(self) -> float:
        """Return the gain in correctness from the strong model; negative if it does worse."""
        return self.strong_correct - self.weak_correct


def read_labels(file: Path) -> list[LabelledPrompt]:
    """Return the rows of a CSV (`.csv`) or JSON lines file; raises BadInput with file, row and column."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror or 'cannot be read'}.", "file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file}: is not UTF-8 text.", "file") from None
    rows = _csv_rows(file, text) if file.suffix.lower() == ".csv" else _json_rows(file, text)
    labels = [_label(f"{file}: row {number}", row) for number, row in rows]
    _check(file, labels)
    return labels


def _csv_rows(file: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise BadInput(f"{file}: the first line names no column {missing[0]!r}; needed: {', '.join(COLUMNS)}.")
        yield from enumerate(reader, start=2)
    except csv.Error as error:
        raise BadInput(f"{file}: row {reader.line_num}: is not CSV: {error}.") from None


def _json_rows(file: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise BadInput(f"{file}: row {number}: is not a JSON object on a line of its own.")
        yield number, row


def _label(where: str, row: dict[str, Any]) -> LabelledPrompt:
    prompt = row.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadInput(f"{where}: column 'prompt': must be a text that is not empty.", "prompt")
    weak, strong = (_correct(where, column, row.get(column)) for column in COLUMNS[1:])
    return LabelledPrompt(prompt=prompt, weak_correct=weak, strong_correct=strong)


def _correct(where: str, column: str, value: object) -> float:
    text = "" if value is None else str(value).strip().lower()
    try:
        number = _BOOLEANS[text] if text in _BOOLEANS else float(text)
    except ValueError:
        number = -1.0
    # Also false for NaN.
    if not 0.0 <= number <= 1.0:
        raise BadInput(
            f"{where}: column {column!r}: must be true, false or a number in 0..1 (seen: {text[:40]!r}).", column
        )
    return number


def _check(file: Path, labels: Iterable[LabelledPrompt]) -> None:
    gains = [label.gain for label in labels]
    if not gains:
        raise BadInput(f"{file}: has no rows.", "file")
    if sum(gains) <= 0:
        raise BadInput(
            f"{file}: the strong model is right no more often than the weak one in these {len(gains)} rows,"
            " so there is no gap that routing could recover.",
            "file",
        )


RANDOM_RUNS = 20
TRAILING_DECISIONS = 500

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The figures of one way to choose the model."""

    name: str
    apgr: float
    pgr_at_share: float
    cpt50: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldShare:
    """The result of the share control on the prompts in the order of the file."""

    share: float
    trailing_share: float
    trailing: int
    capped: int
    gap_recovered: float
    first_threshold: float
    last_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The figures of the scorer on a labelled file, beside baselines that need no scorer."""

    prompts: int
    weak_correct: float
    strong_correct: float
    share: float
    qualities: tuple[Quality, ...]
    held: HeldShare


def evaluate(
    labels: Sequence[LabelledPrompt], score: Callable[[str], float], control: ShareControl, rng: random.Random
) -> Evaluation:
    """Compare `score` with length, chance and the oracle as rankings, and measure how `control` holds its share."""
    scores = [score(label.prompt) for label in labels]
    gains = [label.gain for label in labels]
    lengths = [float(len(label.prompt.encode())) for label in labels]
    share = control.target.share
    return Evaluation(
        prompts=len(labels),
        weak_correct=fmean(label.weak_correct for label in labels),
        strong_correct=fmean(label.strong_correct for label in labels),
        share=share,
        qualities=(
            quality("scorer", curve(scores, gains), share),
            quality("length", curve(lengths, gains), share),
            _chance(gains, share, rng),
            quality("oracle", curve(gains, gains), share),
        ),
        held=hold(scores, gains, control),
    )


def curve(scores: Sequence[float], gains: Sequence[float]) -> list[Point]:
    """Return (share, gap recovered) as prompts go to the strong model from the highest score down."""
    ranked = sorted(zip(scores, gains, strict=True), key=lambda pair: -pair[0])
    gap = sum(gains)
    points, sent, gained = [(0.0, 0.0)], 0, 0.0
    for _, group in groupby(ranked, key=lambda pair: pair[0]):
        tied = [gain for _, gain in group]
        sent, gained = sent + len(tied), gained + sum(tied)
        points.append((sent / len(gains), gained / gap))
    return points


def quality(name: str, points: Sequence[Point], share: float) -> Quality:
    return Quality(
        name=name, apgr=_area(points), pgr_at_share=_recovered_at(points, share), cpt50=_share_for(points, 0.5)
    )


def hold(scores: Sequence[float], gains: Sequence[float], control: ShareControl) -> HeldShare:
    """Run `control` over the scores in this order and return the share it sent to the strong model."""
    first = control.threshold
    verdicts = [control.decide(score) for score in scores]
    sent = [verdict.complex for verdict in verdicts]
    trailing = sent[-TRAILING_DECISIONS:]
    return HeldShare(
        share=fmean(sent),
        trailing_share=fmean(trailing),
        trailing=len(trailing),
        capped=sum(verdict.capped for verdict in verdicts),
        gap_recovered=sum(gain for gain, strong in zip(gains, sent, strict=True) if strong) / sum(gains),
        first_threshold=first,
        last_threshold=control.threshold,
    )


def _chance(gains: Sequence[float], share: float, rng: random.Random) -> Quality:
    runs = [quality("random", curve([rng.random() for _ in gains], gains), share) for _ in range(RANDOM_RUNS)]
    return Quality(
        name="random",
        apgr=fmean(run.apgr for run in runs),
        pgr_at_share=fmean(run.pgr_at_share for run in runs),
        cpt50=fmean(run.cpt50 for run in runs),
    )


def _area(points: Sequence[Point]) -> float:
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))


def _recovered_at(points: Sequence[Point], share: float) -> float:
    for (x0, y0), (x1, y1) in pairwise(points):
        if share <= x1:
            return y0 + (y1 - y0) * (share - x0) / (x1 - x0)
    return points[-1][1]


def _share_for(points: Sequence[Point], part: float) -> float:
    for (x0, y0), (x1, y1) in pairwise(points):
        if y1 >= part:
            return x0 + (x1 - x0) * (part - y0) / (y1 - y0)
    return 1.0
