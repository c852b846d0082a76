"""Defines the result of comparing a frame with the last kept one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie just outside."""

LARGE_CELLS = 400
"""From this many cells on a change is a new scene, below it an edit."""


class Verdict(StrEnum):
    """The relation of a frame to the last kept one. MAYBE: a change that a later sample has to confirm."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and its reason, a fixed phrase.

    `cells` counts the grid cells that neither noise nor a pointer, caret or clock explains. `changed_share` is their
    share of the grid in 0..1. `box_px` bounds them in the judged picture.
    """

    verdict: Verdict
    why: str
    changed_share: float = 0.0
    cells: int = 0
    box_px: Box | None = None
