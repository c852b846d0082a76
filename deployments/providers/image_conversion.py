"""Convert images to the formats and sizes that a model accepts, in a thread of their own."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from PIL import Image as Pillow

from routing.capabilities import IMAGE_DETAIL, Capabilities
from routing.chat import Image, ImageType, Message
from routing.errors import BadInput, Overloaded
from routing.retry import Deadline

LOW_DETAIL_SIDE_PX = 512
"""The side to which a vendor that knows `detail` reduces an image of low detail; OpenAI's images guide, 2026-11-30."""
MOST_PX = 16_777_216
"""The largest image that `vision.max_image_px` can allow."""
JPEG_QUALITY = 90
STUCK_S = 60.0
"""The largest image of a request takes seconds."""
_FORMATS: dict[ImageType, str] = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}


class ImageConverter:
    """Converts the images of one replica's requests one after the other, off its event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="images")
        self._clock = clock
        self._begun_at_s: float | None = None
        """When the conversion that runs now was begun."""

    async def convert(
        self, messages: tuple[Message, ...], capabilities: Capabilities, deadline: Deadline, clock: Callable[[], float]
    ) -> tuple[Message, ...]:
        """Return the messages with images that the model accepts.

        Raises BadInput for an image that cannot be decoded, and Overloaded at the deadline.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline.remaining_s(clock())):
                return await loop.run_in_executor(self._executor, self._convert, messages, capabilities)
        except TimeoutError:
            # No vendor was called, so this is free.
            raise Overloaded("No time was left after the conversion of the images.", retry_after_s=1.0) from None

    def check(self) -> None:
        """Raise Overloaded while one conversion runs for longer than any that ends."""
        begun_at_s = self._begun_at_s
        if begun_at_s is not None and self._clock() - begun_at_s > STUCK_S:
            raise Overloaded("The conversion of an image does not end.")

    def _convert(self, messages: tuple[Message, ...], capabilities: Capabilities) -> tuple[Message, ...]:
        self._begun_at_s = self._clock()
        try:
            return _converted(messages, capabilities)
        finally:
            self._begun_at_s = None

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def needs_conversion(image: Image, capabilities: Capabilities) -> bool:
    """Return whether the model refuses the image's format, or cannot be told to read it in low detail."""
    return image.media_type not in capabilities.image_types or _must_shrink(image, capabilities)


def need_conversion(messages: Iterable[Message], capabilities: Capabilities) -> bool:
    """Return whether any image of the messages must be converted for the model."""
    return any(needs_conversion(image, capabilities) for message in messages for image in message.images)


def converted(image: Image, capabilities: Capabilities) -> Image:
    """Return the image as PNG where the model accepts it, else as JPEG on white; raises BadInput."""
    try:
        with Pillow.open(io.BytesIO(image.data), formats=[_FORMATS[image.media_type]]) as picture:
            if picture.width * picture.height > MOST_PX:
                raise BadInput(f"The image has {picture.width} x {picture.height} pixels, too many to decode.")
            if _must_shrink(image, capabilities):
                picture.draft("RGB", (LOW_DETAIL_SIDE_PX, LOW_DETAIL_SIDE_PX))
                picture.thumbnail((LOW_DETAIL_SIDE_PX, LOW_DETAIL_SIDE_PX))
            return _encoded(image, picture, capabilities)
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"The image cannot be decoded: {type(error).__name__}.") from None


def _converted(messages: tuple[Message, ...], capabilities: Capabilities) -> tuple[Message, ...]:
    return tuple(
        replace(message, content=tuple(_part(part, capabilities) for part in message.content)) for message in messages
    )


def _part(part: str | Image, capabilities: Capabilities) -> str | Image:
    if isinstance(part, str) or not needs_conversion(part, capabilities):
        return part
    return converted(part, capabilities)


def _must_shrink(image: Image, capabilities: Capabilities) -> bool:
    too_large = max(image.width_px, image.height_px) > LOW_DETAIL_SIDE_PX
    return image.detail == "low" and too_large and not capabilities.accepts(IMAGE_DETAIL)


def _encoded(image: Image, picture: Pillow.Image, capabilities: Capabilities) -> Image:
    file = io.BytesIO()
    lossless: bool = "image/png" in capabilities.image_types and image.media_type != "image/jpeg"
    if lossless:
        picture.convert("RGBA" if _is_transparent(picture) else "RGB").save(file, "PNG")
    else:
        _on_white(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    media_type: ImageType = "image/png" if lossless else "image/jpeg"
    return replace(image, data=file.getvalue(), media_type=media_type, width_px=picture.width, height_px=picture.height)


def _on_white(picture: Pillow.Image) -> Pillow.Image:
    """Return the picture without transparency, which a JPEG lacks: dark text on a transparent page stays legible."""
    if not _is_transparent(picture):
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    page = Pillow.new("RGBA", layered.size, "white")
    return Pillow.alpha_composite(page, layered).convert("RGB")


def _is_transparent(picture: Pillow.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
