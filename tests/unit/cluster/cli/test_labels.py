"""A labelled file is read completely, or rejected with the row and the column of the error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.cli.labelled_prompts import read_labels
from routing.errors import BadInput

HEADER = "prompt,weak_correct,strong_correct\n"


WriteFile = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def write_file(text: str | bytes, name: str = "labels.csv") -> Path:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write_file


def test_csv_and_json_lines_give_the_same_labels(write: WriteFile) -> None:
    rows = [('a, "quoted"\nprompt', False, 1), ("b", "true", 0.5), ("c", 0, "yes")]
    csv = HEADER + '"a, ""quoted""\nprompt",False,1\nb,true,0.5\nc,0,yes\n'
    lines = "\n".join(json.dumps({"prompt": p, "weak_correct": w, "strong_correct": s, "more": 1}) for p, w, s in rows)
    labels = read_labels(write(csv))
    assert [(label.prompt, label.weak_correct, label.strong_correct, label.gain) for label in labels] == [
        ('a, "quoted"\nprompt', 0, 1, 1),
        ("b", 1, 0.5, -0.5),
        ("c", 0, 1, 1),
    ]
    assert read_labels(write(lines + "\n\n", "labels.jsonl")) == labels
    assert read_labels(write("\N{BYTE ORDER MARK}" + csv)) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line names no column 'prompt'"),
        ("prompt,weak_correct\n", "names no column 'strong_correct'; needed: prompt, weak_correct, strong_correct"),
        (HEADER, "has no rows"),
        (HEADER + "a,0,1\n  ,0,1\n", "row 3: column 'prompt': must be a text"),
        (
            HEADER + "a,0,1\nb,maybe,1\n",
            r"row 3: column 'weak_correct': must be true, false or a number in 0\.\.1 \(seen",
        ),
        (HEADER + "a,0,1\nb,0,1.5\n", "row 3: column 'strong_correct'"),
        (HEADER + "a,0,nan\n", "row 2: column 'strong_correct'"),
        (HEADER + "a,0\n", r"row 2: column 'strong_correct': must be .* \(seen: ''\)"),
        (HEADER + "a,1,1\nb,1,0\n", "the strong model is right no more often than the weak one in these 2 rows"),
        (HEADER.encode() + b"\xff,0,1\n", "is not UTF-8 text"),
    ],
)
def test_an_invalid_csv_file_is_rejected_with_row_and_column(write: WriteFile, text: str | bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message) as excinfo:
        read_labels(write(text))
    assert "labels.csv" in excinfo.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ('{"prompt": "a", "weak_correct": 0, "strong_correct": 1}\n{', "row 2: is not a JSON object"),
        ("[1]", "row 1: is not a JSON object"),
        ('{"prompt": 7, "weak_correct": 0, "strong_correct": 1}', "row 1: column 'prompt'"),
        ('{"prompt": "a", "strong_correct": 1}', "row 1: column 'weak_correct'"),
        ('{"prompt": "a", "weak_correct": [0], "strong_correct": 1}', "row 1: column 'weak_correct'"),
    ],
)
def test_invalid_json_lines_are_rejected_with_row_and_column(write: WriteFile, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_labels(write(text, "labels.jsonl"))


def test_the_error_for_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nothing\.csv: No such file"):
        read_labels(tmp_path / "nothing.csv")


def test_an_error_never_contains_a_prompt(write: WriteFile) -> None:
    with pytest.raises(BadInput) as excinfo:
        read_labels(write(HEADER + "my secret,0,2\n"))
    assert "secret" not in excinfo.value.message
