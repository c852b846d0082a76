"""Schema of the `x-frame-...` headers that carry a frame's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from deployments.api.body import Body, Finite, bad_input
from routing.models import FrameFeatures

Unit = Annotated[float, Field(ge=0, le=1)]
_BOX = r"\d{1,4},\d{1,4},\d{1,4},\d{1,4}"
MovingBoxes = Annotated[str, Field(pattern=rf"^{_BOX}(;{_BOX}){{0,3}}$")]
"""Up to four boxes as left, top, right and bottom in thousandths of the picture: `0,0,500,250;600,10,990,200`."""


class FrameHeaders(Body):
    """The metadata of a frame, each field in a header `x-frame-...`.

    `captured_at` (Unix seconds) and `track` are used together, to log frames that arrive out of order.
    """

    captured_at: Finite | None = None
    track: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    source: Literal["screen_share", "camera"] = "screen_share"
    phash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    text_density: Unit = 0.0
    edge_energy: Unit = 0.0
    changed_share: Unit = 0.0
    novelty: Unit = 0.0
    moving: MovingBoxes | None = None

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
