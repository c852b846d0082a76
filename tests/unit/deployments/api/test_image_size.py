"""Images are checked from their headers alone: type, size, end, and that nothing in them moves."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from deployments.api.image_size import inspect_image
from deployments.api.jpeg import ImageSize
from routing.errors import BadInput, TooLarge


def encoded(kind: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind, **options)
    return file.getvalue()


def animated(kind: str, frames: int) -> bytes:
    file, pictures = io.BytesIO(), [Image.new("RGB", (8, 8), (80 * index % 256, 0, 0)) for index in range(frames)]
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:])
    return file.getvalue()


def png_of(width_px: int, height_px: int) -> bytes:
    """Return a PNG whose header claims a size that its data does not have."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize(
    ("kind", "options", "media_type"),
    [
        ("JPEG", {}, "image/jpeg"),
        ("PNG", {}, "image/png"),
        ("WEBP", {"lossless": True}, "image/webp"),
        ("WEBP", {"lossless": False}, "image/webp"),
        ("GIF", {}, "image/gif"),
    ],
)
def test_the_header_of_each_format_gives_type_and_size(kind: str, options: dict[str, Any], media_type: str) -> None:
    header = inspect_image(encoded(kind, **options))
    assert (header.media_type, header.size) == (media_type, ImageSize(64, 48))


def test_the_extended_webp_header_is_read() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (70, 50), (255, 0, 0, 10)).save(file, "WEBP", exif=b"Exif\0\0II*\0")
    assert file.getvalue()[12:16] == b"VP8X"
    assert inspect_image(file.getvalue()).size == ImageSize(70, 50)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_an_animation_is_refused(kind: str) -> None:
    with pytest.raises(BadInput, match="animated"):
        inspect_image(animated(kind, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_image_cut_short_is_refused(kind: str) -> None:
    whole = encoded(kind)
    for length in (2, 12, len(whole) // 2):
        with pytest.raises(BadInput):
            inspect_image(whole[:length])


def test_a_header_that_claims_too_many_pixels_is_refused() -> None:
    with pytest.raises(TooLarge, match="20000 x 20000"):
        inspect_image(png_of(20_000, 20_000), max_px=4_194_304)
    with pytest.raises(TooLarge):
        inspect_image(encoded("GIF", (3_000, 3_000)), max_px=4_194_304)


def test_bytes_behind_the_end_of_an_image_do_no_harm() -> None:
    for kind in ("JPEG", "PNG", "GIF"):
        assert inspect_image(encoded(kind) + b"a video" * 100).size == ImageSize(64, 48)


def test_an_unknown_format_is_refused_by_its_first_bytes() -> None:
    for data in (b"", b"BM", b"%PDF-1.7", b"<svg/>"):
        with pytest.raises(BadInput, match="none of JPEG"):
            inspect_image(data)


class CountedBytes(bytes):
    """Bytes that count how often one of them is read."""

    reads = 0

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        self.reads += 1
        return super().__getitem__(key)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 2_000_000,
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 800_000,
        b"\xff\xd8" + b"\xff\xd0" * 1_000_000,
        b"GIF89a\x08\x00\x08\x00\x00\x00\x00!\xf9" + b"\x01\x00" * 1_000_000,
        b"GIF89a\x08\x00\x08\x00\x00\x00\x00!\xf9" + b"\x01a" * 1_000_000,
    ],
)
def test_the_check_of_a_hostile_image_takes_a_bounded_number_of_steps(data: bytes) -> None:
    counted = CountedBytes(data)
    with pytest.raises(BadInput):
        inspect_image(counted)
    assert 0 < counted.reads < 400_000
