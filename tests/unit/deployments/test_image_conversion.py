"""Images reach a vendor in a format that it accepts, legible and within its limits."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image as Pillow

from deployments.providers.image_conversion import ImageConverter, converted, need_conversion, needs_conversion
from routing.capabilities import Capabilities
from routing.chat import Image, ImageType, Message
from routing.errors import BadInput, Overloaded
from routing.retry import Deadline

JPEG_ONLY = Capabilities(options=frozenset())
PNG_TOO = Capabilities(options=frozenset(), image_types=frozenset({"image/jpeg", "image/png"}))


def image(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), color: object = "red") -> Image:
    file = io.BytesIO()
    Pillow.new(mode, size, color).save(file, kind)  # type: ignore[arg-type]
    media_type: ImageType = f"image/{kind.lower()}"  # type: ignore[assignment]
    return Image(data=file.getvalue(), media_type=media_type, width_px=size[0], height_px=size[1])


def decoded(image: Image) -> Pillow.Image:
    return Pillow.open(io.BytesIO(image.data))


def test_an_accepted_format_is_left_as_it_is() -> None:
    assert not needs_conversion(image("PNG"), PNG_TOO)
    assert needs_conversion(image("PNG"), JPEG_ONLY) and needs_conversion(image("GIF"), PNG_TOO)


def test_a_picture_stays_lossless_where_the_model_takes_png() -> None:
    result = converted(image("GIF"), PNG_TOO)
    assert result.media_type == "image/png"
    assert decoded(result).convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_a_transparent_page_becomes_white() -> None:
    result = converted(image("PNG", "RGBA", color=(0, 0, 0, 0)), JPEG_ONLY)
    assert result.media_type == "image/jpeg" and decoded(result).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["P", "L", "LA", "1", "I;16"])
def test_every_mode_of_a_png_becomes_a_jpeg(mode: str) -> None:
    result = converted(image("PNG", mode, color=0), JPEG_ONLY)
    assert decoded(result).mode == "RGB" and decoded(result).size == (64, 48)


def test_low_detail_is_met_by_a_smaller_picture_where_the_vendor_has_no_such_option() -> None:
    large = image("PNG", size=(2_000, 1_000))
    low = Image(data=large.data, media_type="image/png", detail="low", width_px=2_000, height_px=1_000)
    result = converted(low, PNG_TOO)
    assert (result.width_px, result.height_px) == decoded(result).size == (512, 256)
    assert not needs_conversion(low, Capabilities(image_types=frozenset({"image/png"})))


def test_a_picture_that_cannot_be_decoded_is_the_callers_error() -> None:
    with pytest.raises(BadInput, match="cannot be decoded"):
        converted(Image(data=image("PNG").data[:60], media_type="image/png"), JPEG_ONLY)


async def test_pictures_are_converted_in_order_and_outside_the_event_loop() -> None:
    converter, names = ImageConverter(), list[str]()
    message = Message(role="user", content=("before", image("PNG"), "after", image("JPEG")))
    (result,) = await converter.convert((message,), JPEG_ONLY, Deadline.after(5, 0), lambda: 0)
    names = [thread.name for thread in threading.enumerate()]
    converter.close()
    kinds = [part if isinstance(part, str) else part.media_type for part in result.content]
    assert kinds == ["before", "image/jpeg", "after", "image/jpeg"] and result.images[1] is message.images[1]
    assert any(name.startswith("images") for name in names)


def test_messages_without_a_foreign_picture_need_no_conversion() -> None:
    messages = [Message(role="user", content=("Hello", image("JPEG"))), Message(role="user", content=(image("PNG"),))]
    assert not need_conversion(messages[:1], JPEG_ONLY) and need_conversion(messages, JPEG_ONLY)


async def test_no_time_left_for_the_conversion_is_an_overload_that_costs_nothing() -> None:
    converter = ImageConverter()
    with pytest.raises(Overloaded):
        messages = (Message(role="user", content=(image("PNG"),)),)
        await converter.convert(messages, JPEG_ONLY, Deadline.after(0, 0), lambda: 0)
    converter.close()
