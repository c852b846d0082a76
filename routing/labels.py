"""Reads prompts with what a weak and a strong model made of them. Knows no model and no score."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routing.errors import BadInput

COLUMNS = ("prompt", "weak_correct", "strong_correct")
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPrompt:
    """One prompt, and how right each model's answer to it was: 0 wrong, 1 right."""

    prompt: str = field(repr=False)
    weak_correct: float
    strong_correct: float

    @property
    def gain(self) -> float:
        """Return what asking the strong model instead is worth; below zero where it does worse."""
        return self.strong_correct - self.weak_correct


def read_labels(file: Path) -> list[LabelledPrompt]:
    """Return the rows of a CSV (`.csv`) or JSON lines file; raises BadInput naming the file, the row and the column."""
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
        number = _WORDS[text] if text in _WORDS else float(text)
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
