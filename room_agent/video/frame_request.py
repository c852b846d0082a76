"""The request by which a kept frame is sent: its pictures, and the description to which its own is added."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from room_agent.core.models import FramePart, KeptFrame
from room_agent.core.router_client import data_url

CHANGES = frozenset(("text changed", "small spot changed"))
"""The gate's reasons for a frame that shows the picture of before with some parts changed."""
MAX_CHANGES = 5
"""After this many changes a screen is described in full again."""
MAX_PREVIOUS_CHARS = 1_500
MAX_PARTS = 4


class ScreenDescription:
    """The last full description of one track's screen, and the changes described since."""

    def __init__(self) -> None:
        self._text = ""
        self._changes = 0

    def previous(self, frame: KeptFrame) -> str:
        """Return the description to which a frame's own is to be added; an empty one where it is to be full."""
        is_change = frame.why in CHANGES and self._changes < MAX_CHANGES
        return self._text if is_change and len(self._text) <= MAX_PREVIOUS_CHARS else ""

    def add(self, previous: str, answer: str) -> str:
        """Store the answer to a frame that was sent with `previous`; return the description of the whole screen."""
        self._changes = self._changes + 1 if previous else 0
        self._text = f"{previous} {answer}" if previous else answer
        return self._text


def frame_body(frame: KeptFrame, previous: str = "") -> dict[str, Any] | None:
    """Return the JSON body of a frame with parts or a description before it; None for a frame that is one JPEG."""
    if not frame.parts and not previous:
        return None
    whole = frame.overview if frame.parts else frame.jpeg
    body: dict[str, Any] = {} if whole is None else {"image": data_url(whole)}
    if frame.parts:
        body |= {"crops": [{"image": data_url(part.jpeg), "box": part.box_px} for part in frame.parts]}
        body |= {"screen": frame.screen_px}
    return body | ({"previous": previous} if previous else {})


def superseding(frame: KeptFrame, unsent: KeptFrame) -> KeptFrame:
    """Return a frame as it is to be sent in place of an earlier one that was not: it shows that one's changes too."""
    if not frame.parts:
        return frame
    older = tuple(part for part in unsent.parts if not any(_overlap(part, other) for other in frame.parts))
    if unsent.parts and len(frame.parts) + len(older) <= MAX_PARTS and len(older) == len(unsent.parts):
        return replace(frame, parts=(*frame.parts, *older))
    # The earlier one was a new screen, or its part has changed again: the whole screen is described.
    return replace(frame, parts=(), overview=None, why=frame.why if unsent.parts else unsent.why)


def _overlap(one: FramePart, other: FramePart) -> bool:
    (left, top, right, bottom), box = one.box_px, other.box_px
    return left < box[2] and box[0] < right and top < box[3] and box[1] < bottom
