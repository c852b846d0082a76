"""The size of a JPEG, PNG, WebP or GIF from its header, without decoding a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.api.jpeg import ImageSize, inspect_jpeg
from routing.chat import ImageType
from routing.errors import BadInput, TooLarge

IMAGE_TYPES: dict[str, ImageType] = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/png": "image/png",
    "image/webp": "image/webp",
    "image/gif": "image/gif",
}
"""The accepted media types, in lower case. Clients also send `image/jpg`, which is not registered."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_FIRST_CHUNKS = 65_536
"""An animated PNG declares itself before its first pixel."""
_WEBP_ANIMATED = 0x02
_GIF_TRAILER, _GIF_EXTENSION, _GIF_IMAGE = 0x3B, 0x21, 0x2C
_GIF_MOST_BLOCKS = 32_768
"""A still GIF of 4 megapixels has fewer, because a block holds up to 255 bytes."""


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """The type that the first bytes of an image show, and the size in its header."""

    media_type: ImageType
    size: ImageSize


def inspect_image(data: bytes, max_px: int | None = None) -> InspectedImage:
    """Return an image's type and the size that it claims, whatever type its sender named.

    Raises BadInput for another format, an animation or a file cut short, TooLarge for more than `max_px` pixels.
    """
    media_type = _type_of(data)
    if media_type == "image/jpeg":
        return InspectedImage(media_type, inspect_jpeg(data, max_px))
    size = {"image/png": _png, "image/webp": _webp, "image/gif": _gif}[media_type](data, max_px)
    return InspectedImage(media_type, size)


def _type_of(data: bytes) -> ImageType:
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if data.startswith(_PNG):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    raise BadInput("The image is none of JPEG, PNG, WebP and GIF.", "body")


def _png(data: bytes, max_px: int | None) -> ImageSize:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise BadInput("The PNG is cut short: it ends in its header.", "body")
    size = _checked("PNG", int.from_bytes(data[16:20]), int.from_bytes(data[20:24]), max_px)
    if b"acTL" in data[33:_PNG_FIRST_CHUNKS]:
        raise BadInput("The PNG is animated; only still images are read.", "body")
    if data.rfind(b"IEND") < 0:
        raise BadInput("The PNG is cut short: its end marker is missing.", "body")
    return size


def _webp(data: bytes, max_px: int | None) -> ImageSize:
    if len(data) < 30 or len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise BadInput("The WebP is cut short.", "body")
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & _WEBP_ANIMATED:
            raise BadInput("The WebP is animated; only still images are read.", "body")
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        height = int.from_bytes(data[28:30], "little") & 0x3FFF
    else:
        raise BadInput("The WebP is damaged: its header cannot be read.", "body")
    return _checked("WebP", width, height, max_px)


def _gif(data: bytes, max_px: int | None) -> ImageSize:
    if len(data) < 13:
        raise BadInput("The GIF is cut short: it ends in its header.", "body")
    size = _checked("GIF", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"), max_px)
    if _gif_images(data) > 1:
        raise BadInput("The GIF is animated; only still images are read.", "body")
    return size


def _gif_images(data: bytes) -> int:
    """Return 1 for a still GIF and 2 for one with more images; raises BadInput where its blocks cannot be followed."""
    at, images = 13 + _color_table_bytes(data[10]), 0
    blocks = iter(range(_GIF_MOST_BLOCKS))
    for _ in blocks:
        marker = data[at] if at < len(data) else None
        if marker == _GIF_TRAILER and images:
            return images
        if marker == _GIF_IMAGE and at + 10 < len(data):
            if images:
                return images + 1
            images = 1
            # The descriptor, its color table, and the byte with the size of a code.
            at += 10 + _color_table_bytes(data[at + 9]) + 1
        elif marker == _GIF_EXTENSION:
            at += 2
        else:
            break
        at = _gif_blocks_end(data, at, blocks)
    raise BadInput("The GIF is cut short or damaged.", "body")


def _gif_blocks_end(data: bytes, at: int, blocks: Iterator[int]) -> int:
    """Return where the data blocks that begin at `at` end; each block takes one of `blocks`."""
    for _ in blocks:
        if at >= len(data) or not data[at]:
            break
        at += 1 + data[at]
    return at + 1


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _checked(kind: str, width_px: int, height_px: int, max_px: int | None) -> ImageSize:
    if width_px == 0 or height_px == 0:
        raise BadInput(f"The {kind} claims {width_px} x {height_px} pixels.", "body")
    if max_px is not None and width_px * height_px > max_px:
        raise TooLarge(f"The {kind} claims {width_px} x {height_px} pixels; {max_px} is the limit.", "body")
    return ImageSize(width_px, height_px)
