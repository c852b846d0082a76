"""Validation of a JPEG from its header and end marker, without decoding a pixel."""

from __future__ import annotations

import re
from dataclasses import dataclass

from routing.errors import BadInput, NotAJpeg, TooLarge

MOST_SEGMENTS = 4_096
"""Cameras and editors write fewer than a hundred segments before the picture."""
_FILL = re.compile(rb"\xff+")
_START, _END = b"\xff\xd8", b"\xff\xd9"
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
# Baseline, extended and progressive with Huffman coding: the kinds that every vendor decodes.
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2}
_SCAN, _OTHER_FRAMES = 0xDA, {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}


@dataclass(frozen=True, slots=True)
class ImageSize:
    """The size in an image's header."""

    width_px: int
    height_px: int


def inspect_jpeg(data: bytes, max_px: int | None = None) -> ImageSize:
    """Return the size a JPEG claims.

    Raises NotAJpeg, TooLarge for more than `max_px` pixels, or BadInput if it is cut short or damaged.
    """
    if not data.startswith(_START):
        raise NotAJpeg("The body does not start as a JPEG does.", "body")
    size, scan_at = _walk(data)
    if size.width_px == 0 or size.height_px == 0:
        raise BadInput(f"The JPEG claims {size.width_px} x {size.height_px} pixels.", "body")
    if max_px is not None and size.width_px * size.height_px > max_px:
        raise TooLarge(f"The JPEG claims {size.width_px} x {size.height_px} pixels; {max_px} is the limit.", "body")
    # Anything may follow the end marker: some encoders pad, and phones append a video.
    if data.rfind(_END, scan_at) < 0:
        raise BadInput("The JPEG is cut short: its end marker is missing.", "body")
    return size


def _walk(data: bytes) -> tuple[ImageSize, int]:
    """Follow the marker segments up to the first scan; returns the size and where the scan's data begins."""
    at, size = 2, None
    for _ in range(MOST_SEGMENTS):
        if at + 4 > len(data):
            break
        if data[at] != 0xFF:
            raise BadInput("The JPEG is damaged: a marker is missing.", "body")
        if data[at + 1] == 0xFF:
            # Any number of fill bytes may precede a marker; they are skipped in one step.
            filled = _FILL.match(data, at)
            at = filled.end() - 1 if filled is not None else len(data)
            continue
        marker = data[at + 1]
        if marker in _STANDALONE:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        if marker in _OTHER_FRAMES:
            raise NotAJpeg("The JPEG is lossless, hierarchical or arithmetic-coded, which vendors do not read.", "body")
        if marker in _FRAME_HEADERS and at + 9 <= len(data):
            size = ImageSize(int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7]))
        if marker == _SCAN and size is not None:
            return size, at + 2 + length
        if length < 2:
            break
        at += 2 + length
    raise BadInput("The JPEG is cut short: it ends before its picture begins.", "body")
