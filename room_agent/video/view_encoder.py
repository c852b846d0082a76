"""Chooses and encodes the pictures of a kept frame: the whole screen, or an overview with its changed parts."""

from __future__ import annotations

from dataclasses import replace

from room_agent.core.models import FramePart, KeptFrame
from room_agent.frames.encoder import encode
from room_agent.frames.i420 import Planes, fitted
from room_agent.frames.regions import bounds
from room_agent.frames.text_size import text_size_px
from room_agent.frames.verdict import Box, Judgement, RegionKind, box_px_of
from room_agent.frames.views import (
    READABLE_PX,
    ChangedScreen,
    FrameViews,
    ImageTokenRule,
    TokenBudget,
    choose_views,
)
from routing.capabilities import PatchTokens

DEFAULT_RULE = PatchTokens(rule="patches", patch_px=32)
"""The rule of a router that names none: tokens in proportion to the area."""
PART_QUALITY = 85
MOST_REGIONS = 40
"""More changed regions are taken as one."""


class ViewEncoder:
    """The pictures of one track's frames. On average they take no more tokens than whole screens of the usual size."""

    def __init__(self, long_side_px: int, rule: ImageTokenRule | None) -> None:
        self.long_side_px = long_side_px
        self._rule: ImageTokenRule = rule or DEFAULT_RULE
        self._budget = TokenBudget()

    def choose(self, planes: Planes, judgement: Judgement) -> FrameViews:
        """Return the pictures by which to send a frame, and take their tokens off the budget."""
        customary = self._rule.count(*fitted(planes.width_px, planes.height_px, self.long_side_px))
        views = choose_views(changed_screen(planes, judgement), self._rule, self._budget.allowance(customary))
        self._budget.spend(views.tokens, customary)
        return views

    def turn_long_side_px(self, planes: Planes, longest_px: int) -> int:
        """Return the long side of the whole picture for a turn: the usual one, or larger where its text is small."""
        text_px = text_size_px(planes.y)
        if text_px is None:
            return min(self.long_side_px, longest_px)
        readable_px = round(max(planes.width_px, planes.height_px) * READABLE_PX / text_px)
        return min(max(self.long_side_px, readable_px), longest_px)


def with_parts(frame: KeptFrame, planes: Planes, views: FrameViews) -> KeptFrame:
    """Return the frame with an overview and its changed parts, where `views` has parts."""
    if not views.crops:
        return frame
    parts = tuple(
        FramePart(
            jpeg=encode(cut(planes, crop.box_px), long_side_px=crop.long_side_px, quality=PART_QUALITY).jpeg,
            box_px=crop.box_px,
        )
        for crop in views.crops
    )
    overview = encode(planes, long_side_px=views.whole_px).jpeg if views.whole_px else None
    return replace(frame, overview=overview, parts=parts, screen_px=(planes.width_px, planes.height_px))


def changed_screen(planes: Planes, judgement: Judgement) -> ChangedScreen:
    """Return where a screen changed, and the size of the text there."""
    regions = [finding.region for finding in judgement.findings if finding.kind is RegionKind.CONTENT]
    if judgement.box_px is None:
        boxes: tuple[Box, ...] = ()
    elif not 0 < len(regions) <= MOST_REGIONS:
        boxes = (judgement.box_px,)
    else:
        left, _, right, _ = bounds(regions)
        # The judgement's box spans the same regions, and is cut at the edge of the picture.
        cell_px = -(-(judgement.box_px[2] - judgement.box_px[0]) // (right - left))
        boxes = tuple(box_px_of([region], cell_px, planes.width_px, planes.height_px) for region in regions)
    sizes = [size for box in boxes if (size := text_size_px(cut(planes, box).y)) is not None]
    return ChangedScreen(
        width_px=planes.width_px, height_px=planes.height_px, boxes_px=boxes, text_px=min(sizes, default=None)
    )


def cut(planes: Planes, box_px: Box) -> Planes:
    """Return views of a part of a picture; its left and top edges move to even pixels."""
    left, top, right, bottom = box_px
    left, top = left // 2 * 2, top // 2 * 2
    chroma = slice(top // 2, (bottom + 1) // 2), slice(left // 2, (right + 1) // 2)
    return Planes(y=planes.y[top:bottom, left:right], u=planes.u[chroma], v=planes.v[chroma])
