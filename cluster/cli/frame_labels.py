"""Labelled frames: recorded JPEGs, and the words that a right description of each has to hold."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.api.jpeg import inspect_jpeg
from routing.chat import Image
from routing.errors import BadInput
from routing.validation import first_error

LABELS = "labels.jsonl"
MAX_FRAMES = 10_000
MAX_FRAME_BYTES = 8 * 1024 * 1024
_SPACE = re.compile(r"\s+")


class _Row(BaseModel):
    """One line of the labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(min_length=1)
    expects: tuple[str, ...] = Field(min_length=1)
    question: str | None = Field(default=None, min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFrame:
    """A recorded frame. Without a `question` the configured prompt is sent."""

    image: Image = field(repr=False)
    expects: tuple[str, ...] = field(repr=False)
    question: str | None = field(default=None, repr=False)

    def found(self, answer: str) -> int:
        """Return how many of the expected texts an answer holds; case and line breaks do not count."""
        held = _plain(answer)
        return sum(_plain(text) in held for text in self.expects)


def read_frame_labels(directory: Path) -> list[LabelledFrame]:
    """Return the frames that `labels.jsonl` names; raises BadInput with the line and the field."""
    labels = directory / LABELS
    try:
        lines = labels.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise BadInput(f"{labels}: {error.strerror or 'cannot be read'}.", "directory") from None
    except UnicodeDecodeError:
        raise BadInput(f"{labels}: is not UTF-8 text.", "directory") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(numbered) <= MAX_FRAMES:
        raise BadInput(f"{labels}: must name 1 to {MAX_FRAMES} frames, not {len(numbered)}.", "directory")
    return [_frame(directory, f"{labels}: line {number}", line) for number, line in numbered]


def _frame(directory: Path, where: str, line: str) -> LabelledFrame:
    try:
        row = _Row.model_validate_json(line)
    except ValidationError as error:
        field_name, problem = first_error(error)
        raise BadInput(f"{where}: {field_name or 'the line'}: {problem}.", "directory") from None
    path = directory / row.file
    # A label names a file beside it, so that a set of another person reads no other file of this machine.
    if path.parent.resolve() != directory.resolve():
        raise BadInput(f"{where}: file: must be in the directory itself.", "directory")
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_FRAME_BYTES + 1)
        if len(data) > MAX_FRAME_BYTES:
            raise BadInput(f"{where}: {row.file}: is larger than {MAX_FRAME_BYTES} bytes.", "directory")
        size = inspect_jpeg(data)
    except OSError as error:
        raise BadInput(f"{where}: {row.file}: {error.strerror or 'cannot be read'}.", "directory") from None
    except BadInput as error:
        raise BadInput(f"{where}: {row.file}: {error.message}", "directory") from None
    image = Image(data=data, width_px=size.width_px, height_px=size.height_px)
    return LabelledFrame(image=image, expects=row.expects, question=row.question)


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip().casefold()
