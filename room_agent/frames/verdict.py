"""What a frame turned out to be. Holds results only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie just outside."""

LARGE_CELLS = 400
"""From this many cells on a change is a new scene, below it an edit."""


class Verdict(StrEnum):
    """What a frame is to the last kept one."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and its reason, a fixed phrase.

    `cells` counts the grid cells that neither noise nor a pointer, caret or clock explains, `changed_share` is
    their part of the grid in 0..1, and `box_px` bounds them in the judged picture.
    """

    verdict: Verdict
    why: str
    changed_share: float = 0.0
    cells: int = 0
    box_px: Box | None = None
