"""Builds the message by which a vision model is shown a frame: the whole screen, its changed parts, and the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from deployments.api.frame_schemas import FrameBody
from deployments.api.inline_images import inline_image
from deployments.api.jpeg import inspect_jpeg
from deployments.common.settings import VisionSettings
from routing.chat import Image, Message
from routing.errors import NotAJpeg

Box = tuple[int, int, int, int]
_FENCE = "-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCrop:
    """A changed part of a screen at full size, and its box in the screen's pixels."""

    image: Image
    box_px: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFrame:
    """A frame as it was received: the whole screen, its changed parts, and its last description.

    Without the whole screen there is a changed part.
    """

    image: Image | None = None
    crops: tuple[FrameCrop, ...] = ()
    screen_px: tuple[int, int] | None = None
    previous: str = ""


def frame_of_jpeg(jpeg: bytes, max_px: int) -> ReceivedFrame:
    """Return the frame that is one JPEG. Raises NotAJpeg, TooLarge or BadInput."""
    size = inspect_jpeg(jpeg, max_px)
    return ReceivedFrame(image=Image(data=jpeg, width_px=size.width_px, height_px=size.height_px))


def frame_of_body(body: FrameBody, max_px: int) -> ReceivedFrame:
    """Return the frame of a JSON body. Raises NotAJpeg, TooLarge or BadInput with the name of the field."""
    crops = (
        FrameCrop(image=_jpeg(crop.image, f"crops.{number}.image", max_px), box_px=crop.box)
        for number, crop in enumerate(body.crops)
    )
    return ReceivedFrame(
        image=None if body.image is None else _jpeg(body.image, "image", max_px),
        crops=tuple(crops),
        screen_px=body.screen,
        previous=body.previous,
    )


def frame_message(frame: ReceivedFrame, settings: VisionSettings, note: str = "") -> Message:
    """Return the message of a frame; a single picture without a description before it has the prompt alone.

    `note` is added to the prompt.
    """
    return Message(role="user", content=(*_pictures(frame), _prompt(frame, settings) + note))


def _pictures(frame: ReceivedFrame) -> Iterator[Image | str]:
    size = "" if frame.screen_px is None else f" of {frame.screen_px[0]} x {frame.screen_px[1]} pixels"
    if frame.image is not None and not frame.crops:
        yield frame.image
    elif frame.image is not None:
        # The text to be read is in the parts: the whole screen shows only where they are.
        yield replace(frame.image, detail="low")
        yield f"The whole screen{size}, reduced."
    for crop in frame.crops:
        yield crop.image
        yield f"The part of the screen{size} {_place(crop.box_px)}, at full size. This part has changed."


def _prompt(frame: ReceivedFrame, settings: VisionSettings) -> str:
    # A description quotes the screen, so it is data too, and it cannot close its own fence.
    previous = frame.previous.replace(_FENCE, "").strip()
    if not previous:
        return settings.prompt
    fenced = f"{_FENCE}\n{previous}\n{_FENCE}"
    return f"Before, this screen was described as follows.\n{fenced}\n{settings.change_prompt}"


def _place(box_px: Box) -> str:
    left, top, right, bottom = box_px
    return f"from x {left}, y {top} to x {right}, y {bottom}"


def _jpeg(url: str, param: str, max_px: int) -> Image:
    image = inline_image(url, param, max_px)
    if image.media_type != "image/jpeg":
        raise NotAJpeg(f"{param}: must be a JPEG.", param)
    return image
