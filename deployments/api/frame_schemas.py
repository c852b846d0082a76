"""Schemas of a frame: the `x-frame-...` headers with its metadata, and the JSON body with more than one picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from deployments.api.body import MAX_IMAGE_CHARS, MAX_PARTICIPANT_CHARS, Body, Finite, bad_input
from routing.models import FrameFeatures
from routing.validation import WHOLE

Unit = Annotated[float, Field(ge=0, le=1)]
_BOX = r"\d{1,4},\d{1,4},\d{1,4},\d{1,4}"
MovingBoxes = Annotated[str, Field(pattern=rf"^{_BOX}(;{_BOX}){{0,3}}$")]
"""Up to four boxes as left, top, right and bottom in thousandths of the picture: `0,0,500,250;600,10,990,200`."""

MAX_CROPS = 4
MAX_QUOTED_CHARS = 4_096
MAX_PREVIOUS_CHARS = 4_000


def _spans_pixels(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        raise ValueError("must be left, top, right, bottom in pixels, with right and bottom the larger")
    return box


def _identity(quoted: str) -> str:
    return unquote(quoted)[:MAX_PARTICIPANT_CHARS]


Px = Annotated[int, Field(strict=True, ge=0, le=65_536), WHOLE]
PixelBox = Annotated[tuple[Px, Px, Px, Px], AfterValidator(_spans_pixels)]
"""Left, top, right and bottom in pixels of the screen."""
InlineImage = Annotated[str, Field(min_length=1, max_length=MAX_IMAGE_CHARS)]
"""A JPEG as a data URL."""


class FrameCropBody(Body):
    """A part of the screen that changed, at its full size."""

    image: InlineImage
    box: PixelBox


class FrameBody(Body):
    """A frame with its changed parts, and with the description to which its own is added.

    `image` is the whole screen, reduced; without it there is a crop. `screen` is the screen's width and height in
    pixels.
    """

    image: InlineImage | None = None
    crops: Annotated[tuple[FrameCropBody, ...], Field(max_length=MAX_CROPS)] = ()
    screen: tuple[Px, Px] | None = None
    previous: Annotated[str, Field(max_length=MAX_PREVIOUS_CHARS)] = ""
    """The last description of this screen. The answer then says only what is different."""

    @model_validator(mode="after")
    def _shows_something(self) -> FrameBody:
        if self.image is None and not self.crops:
            raise ValueError("image must be given, or crops")
        return self


class FrameHeaders(Body):
    """The metadata of a frame, each field in a header `x-frame-...`.

    `captured_at` (Unix seconds) and `track` are used together, to log frames that arrive out of order. `participant` is
    the identity of the person who shares the track, for the bill: UTF-8, percent-encoded.
    """

    captured_at: Finite | None = None
    track: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    source: Literal["screen_share", "camera"] = "screen_share"
    phash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    text_density: Unit = 0.0
    edge_energy: Unit = 0.0
    changed_share: Unit = 0.0
    novelty: Unit = 0.0
    moving: Annotated[MovingBoxes | None, BeforeValidator(lambda boxes: boxes or None)] = None
    """An empty header is none: clients send one for a value that is null."""
    participant: Annotated[str, Field(max_length=MAX_QUOTED_CHARS), AfterValidator(_identity)] = ""

    def note(self) -> str:
        """Return the sentences that tell the model which parts of the picture move, or an empty text."""
        if self.moving is None:
            return ""
        boxes = "; ".join(f"({box.replace(',', ', ')})" for box in self.moving.split(";"))
        return (
            " These boxes (left, top, right, bottom in thousandths of the picture) show a video or an animation, of "
            f"which this is one moment: {boxes}. Say so, and describe them briefly."
        )

    def features(self) -> FrameFeatures:
        return FrameFeatures(
            text_density=self.text_density,
            edge_energy=self.edge_energy,
            changed_share=self.changed_share,
            novelty=self.novelty,
        )


def parse_frame_headers(headers: Mapping[str, str]) -> FrameHeaders:
    """Return the `x-frame-...` headers; raises BadInput with the name of the header."""
    prefix = "x-frame-"
    found = {name[len(prefix) :].replace("-", "_"): value for name, value in headers.items() if name.startswith(prefix)}
    try:
        return FrameHeaders.model_validate(found)
    except ValidationError as error:
        raise bad_input(error, lambda name: prefix + name.replace("_", "-")) from None
