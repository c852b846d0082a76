"""Defines the result of comparing a frame with the last kept one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from room_agent.frames.cursors import Shape
from room_agent.frames.regions import Region, bounds

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom lie just outside."""

LARGE_CELLS = 400
"""From this many cells on a change is a new scene, below it an edit."""


class Verdict(StrEnum):
    """The relation of a frame to the last kept one. MAYBE: a change that later samples have to confirm."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    MAYBE = "maybe"


class RegionKind(StrEnum):
    """What a changed region shows. All but CONTENT and NOISE are hypotheses, which later samples bear out or not."""

    CONTENT = "content"
    POINTER = "pointer"
    """A shape with a cursor's outline, or one that was seen to move like a pointer."""
    SPOT = "spot"
    """A small shape that moved once, which a pointer does, and so does a radio button."""
    CARET = "caret"
    CLOCK = "clock"
    DETAIL = "detail"
    """A pale or tiny change, as a codec makes it for a while and an edit makes it for good."""
    NOISE = "noise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A changed region and its most likely kind. `shape` is what moved, of a POINTER or a SPOT."""

    kind: RegionKind
    region: Region
    shape: Shape | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and its reason, a fixed phrase, with what was found where.

    `cells` counts the grid cells that neither noise nor a pointer, caret or clock explains. `changed_share` is their
    share of the grid in 0..1. `box_px` bounds them in the judged picture. `is_noisy` says that a change as small as a
    word may be lost in noise.
    """

    verdict: Verdict
    why: str
    changed_share: float = 0.0
    cells: int = 0
    box_px: Box | None = None
    findings: tuple[Finding, ...] = ()
    is_noisy: bool = False


def box_px_of(regions: Iterable[Region], cell_px: int, width_px: int, height_px: int) -> Box:
    """Return the box around all regions in pixels of a picture; there is at least one region."""
    left, top, right, bottom = bounds(regions)
    return left * cell_px, top * cell_px, min(right * cell_px, width_px), min(bottom * cell_px, height_px)
