"""Validation of a JPEG from its header and end marker, without decoding a pixel."""

from __future__ import annotations

from dataclasses import dataclass

from routing.errors import BadInput, NotAJpeg, TooLarge

_START, _END = b"\xff\xd8", b"\xff\xd9"
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
# Baseline, extended and progressive with Huffman coding: the kinds that every vendor decodes.
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2}
_SCAN, _OTHER_FRAMES = 0xDA, {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}


@dataclass(frozen=True, slots=True)
class JpegSize:
    """The size in a JPEG's header."""

    width_px: int
    height_px: int


def inspect_jpeg(data: bytes, max_px: int | None = None) -> JpegSize:
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
    # Some encoders pad: zeros and line ends are allowed after the end marker.
    if not data.rstrip(b"\x00\r\n").endswith(_END) or len(data) - scan_at < 4:
        raise BadInput("The JPEG is cut short: its end marker is missing.", "body")
    return size


def _walk(data: bytes) -> tuple[JpegSize, int]:
    """Follow the marker segments up to the first scan; returns the size and where the scan's data begins."""
    at, size = 2, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise BadInput("The JPEG is damaged: a marker is missing.", "body")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        if marker in _OTHER_FRAMES:
            raise NotAJpeg("The JPEG is lossless, hierarchical or arithmetic-coded, which vendors do not read.", "body")
        if marker in _FRAME_HEADERS and at + 9 <= len(data):
            size = JpegSize(int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7]))
        if marker == _SCAN and size is not None:
            return size, at + 2 + length
        if length < 2:
            break
        at += 2 + length
    raise BadInput("The JPEG is cut short: it ends before its picture begins.", "body")
