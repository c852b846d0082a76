"""Chooses the pictures by which a kept frame is sent: the whole screen, or an overview with its changed parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from room_agent.frames.i420 import fitted
from room_agent.frames.verdict import Box
from routing.chat import Detail

READABLE_PX = 11.0
"""The size in pixels at which text of the usual fonts is read; tests/benchmarks/frames/readability.py measures it."""
OVERVIEW_PX = 512
"""The long side of the whole screen beside its parts. It shows where they are and is not to be read."""
MAX_LONG_SIDE_PX = 2_048
"""No vendor reads more pixels of a side in one picture."""
LEAST_LONG_SIDE_PX = 768
MAX_CROPS = 3
SAVED_AT_FIRST, MOST_SAVED = 2, 6
"""The frames whose tokens a track may spend before it saved them, and may save."""
MARGIN_PX = (48, 24)
"""The margin of a crop to its sides, and above and below: the words beside a changed one belong to it."""
_LARGE_AREA = 0.05


class ImageTokenRule(Protocol):
    """The number of input tokens that a vendor counts for an image."""

    def count(self, width_px: int, height_px: int, detail: Detail = "auto") -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CropView:
    """A part of the screen, and the long side in pixels at which it is sent."""

    box_px: Box
    long_side_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameViews:
    """The pictures of one frame, and their input tokens.

    `whole_px` is the long side of the whole screen, 0 where its parts are sent alone.
    """

    whole_px: int
    crops: tuple[CropView, ...]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedScreen:
    """The size of a screen, the boxes of its changes, and the font size of the smallest common text in them."""

    width_px: int
    height_px: int
    boxes_px: tuple[Box, ...]
    text_px: float | None


def choose_views(screen: ChangedScreen, rule: ImageTokenRule, budget_tokens: int) -> FrameViews:
    """Return the cheapest pictures in which the changed text can be read, within the budget if any are.

    Where none fit, the whole screen is sent as large as the budget allows, and no smaller than `LEAST_LONG_SIDE_PX`.
    """
    readable = [views for views in _readable(screen, rule) if views.tokens <= budget_tokens]
    # Parts without an overview come last: the model knows less of the place that changed.
    preferred = [views for views in readable if views.whole_px] or readable
    if preferred:
        return min(preferred, key=lambda views: views.tokens)
    return _largest_whole(screen, rule, budget_tokens)


def _readable(screen: ChangedScreen, rule: ImageTokenRule) -> Iterable[FrameViews]:
    long_px = max(screen.width_px, screen.height_px)
    scale = 1.0 if screen.text_px is None else min(READABLE_PX / screen.text_px, 1.0)
    # Where no text was found in a large area, a larger picture of the whole shows nothing more. A word is too small.
    large = sum(map(_area, screen.boxes_px)) > _LARGE_AREA * screen.width_px * screen.height_px
    whole_scale = 0.0 if screen.text_px is None and large else scale
    whole_px = max(round(long_px * whole_scale), min(LEAST_LONG_SIDE_PX, long_px))
    if whole_px <= MAX_LONG_SIDE_PX:
        yield _views(screen, rule, whole_px, ())
    boxes = merged([_padded(box, screen) for box in screen.boxes_px])
    if not boxes or len(boxes) > MAX_CROPS:
        return
    sides_px = [round(max(right - left, bottom - top) * scale) for left, top, right, bottom in boxes]
    if max(sides_px) > MAX_LONG_SIDE_PX:
        return
    crops = tuple(
        CropView(box_px=box, long_side_px=max(side_px, 32)) for box, side_px in zip(boxes, sides_px, strict=True)
    )
    yield _views(screen, rule, min(OVERVIEW_PX, long_px), crops)
    yield _views(screen, rule, 0, crops)


def _largest_whole(screen: ChangedScreen, rule: ImageTokenRule, budget_tokens: int) -> FrameViews:
    long_px = max(screen.width_px, screen.height_px)
    sides_px = range(min(MAX_LONG_SIDE_PX, long_px) // 32 * 32, LEAST_LONG_SIDE_PX, -32)
    candidates = (_views(screen, rule, side_px, ()) for side_px in sides_px)
    within = (views for views in candidates if views.tokens <= budget_tokens)
    return next(within, _views(screen, rule, min(LEAST_LONG_SIDE_PX, long_px), ()))


def _views(screen: ChangedScreen, rule: ImageTokenRule, whole_px: int, crops: tuple[CropView, ...]) -> FrameViews:
    # Beside its parts the whole screen is sent in low detail.
    detail: Detail = "low" if crops else "auto"
    tokens = rule.count(*fitted(screen.width_px, screen.height_px, whole_px), detail) if whole_px else 0
    for crop in crops:
        left, top, right, bottom = crop.box_px
        tokens += rule.count(*fitted(right - left, bottom - top, crop.long_side_px))
    return FrameViews(whole_px=whole_px, crops=crops, tokens=tokens)


def _padded(box: Box, screen: ChangedScreen) -> Box:
    """Return the box with its margin, on even pixels inside the screen."""
    left, top, right, bottom = box
    aside, above = MARGIN_PX
    left, top = max(left - aside, 0) // 2 * 2, max(top - above, 0) // 2 * 2
    right, bottom = min(right + aside, screen.width_px), min(bottom + above, screen.height_px)
    return left, top, max(right // 2 * 2, left + 2), max(bottom // 2 * 2, top + 2)


def merged(boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes with those joined whose common box is hardly larger than both, and that overlap."""
    left_over = list(boxes)
    joined: list[Box] = []
    while left_over:
        box = left_over.pop()
        for other in (*joined, *left_over):
            both = min(box[0], other[0]), min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3])
            if _area(both) <= 1.3 * (_area(box) + _area(other)):
                (joined if other in joined else left_over).remove(other)
                left_over.append(both)
                break
        else:
            joined.append(box)
    return sorted(joined)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


class TokenBudget:
    """The image tokens of one track: each frame adds those of a whole screen, and unspent ones are saved up.

    `customary` are the tokens of the whole screen at the customary size.
    """

    def __init__(self) -> None:
        self._saved_frames = float(SAVED_AT_FIRST)

    def allowance(self, customary: int) -> int:
        """Return the tokens that the next frame may take."""
        return int((self._saved_frames + 1) * customary)

    def spend(self, tokens: int, customary: int) -> None:
        """Take a frame's tokens off, which may be more than its allowance."""
        self._saved_frames = min(self._saved_frames + 1 - tokens / max(customary, 1), float(MOST_SAVED))
