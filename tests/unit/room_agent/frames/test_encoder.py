"""A kept frame becomes a small JPEG that looks like the frame, at any size and rotation."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from room_agent.frames.encoder import Encoded, encode
from room_agent.frames.i420 import Planes, rotated
from tests.support.screens import Desktop, photo, planes_of, psnr_db, rgb_of

BOX = Image.Resampling.BOX


def decoded(encoded: Encoded) -> Image.Image:
    image = Image.open(io.BytesIO(encoded.jpeg))
    assert image.format == "JPEG" and image.size == (encoded.width_px, encoded.height_px)
    return image.convert("RGB")


def solid_picture(colour: tuple[int, int, int], size: tuple[int, int] = (640, 360)) -> Planes:
    return planes_of(Image.new("RGB", size, colour))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (1024, 576)),
        ((1080, 1920), (576, 1024)),
        ((1366, 768), (1024, 576)),
        ((1025, 577), (1024, 576)),
        ((4000, 101), (1024, 26)),
        ((1024, 576), (1024, 576)),
        ((640, 360), (640, 360)),
        ((641, 361), (640, 360)),
        ((8, 8), (8, 8)),
    ],
)
def test_a_picture_is_fitted_to_even_sides_and_never_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert decoded(encode(photo(size))).size == expected


@pytest.mark.parametrize("long_side_px", [512, 768, 1023, 1280])
def test_the_long_side_is_never_exceeded(long_side_px: int) -> None:
    encoded = encode(photo((1920, 1080)), long_side_px=long_side_px)
    assert encoded.width_px == long_side_px // 2 * 2
    assert encoded.height_px % 2 == 0


@pytest.mark.parametrize("size", [(1920, 1080), (1367, 769), (1080, 1921), (1281, 720)])
def test_a_downscaled_picture_is_as_accurate_as_one_resized_in_rgb(size: tuple[int, int]) -> None:
    planes = Desktop(size=size, dialog="Save changes?").planes()
    reference = rgb_of(planes)
    actual = decoded(encode(planes, quality=80))
    buffer = io.BytesIO()
    reference.resize(actual.size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=80)
    resized_in_rgb = Image.open(buffer)
    expected_picture = reference.resize(actual.size, BOX)
    assert psnr_db(actual, expected_picture) > psnr_db(resized_in_rgb, expected_picture) - 0.5
    assert psnr_db(actual, expected_picture) > 26


@pytest.mark.parametrize("size", [(640, 360), (641, 361), (641, 360), (640, 361)])
def test_a_picture_within_the_limit_loses_only_its_odd_edge(size: tuple[int, int]) -> None:
    planes = Desktop(size=size).planes()
    actual = decoded(encode(planes, quality=95))
    assert psnr_db(actual, rgb_of(planes).crop((0, 0, 640, 360))) > 33


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 30), (20, 180, 60), (40, 60, 220)])
@pytest.mark.parametrize("size", [(640, 360), (1921, 1081)])
def test_colours_black_and_white_are_preserved(colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    pixels = np.asarray(decoded(encode(solid_picture(colour, size)))).reshape(-1, 3)
    assert np.abs(pixels - np.array(colour, np.int16)).max() <= 5


def test_a_picture_without_edges_is_encoded_accurately() -> None:
    planes = photo((1920, 1080))
    assert psnr_db(decoded(encode(planes)), rgb_of(planes).resize((1024, 576), BOX)) > 38


def test_a_rotated_picture_is_encoded_upright() -> None:
    upright = Desktop(size=(1280, 720)).planes()
    rotated_picture = rotated(upright, 270)
    assert encode(rotated(rotated_picture, 90)) == encode(upright) != encode(rotated_picture)


def test_lower_quality_needs_fewer_bytes() -> None:
    planes = Desktop().planes()
    assert len(encode(planes, quality=50).jpeg) < len(encode(planes, quality=80).jpeg) < 120_000


def test_encoding_in_several_threads_gives_the_same_jpegs() -> None:
    pictures = [photo((1280, 720), seed) for seed in range(6)] + [photo((1367, 769), seed) for seed in range(6)]
    sequential = [encode(picture).jpeg for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        threaded = [encoded.jpeg for encoded in threads.map(encode, pictures * 4)]
    assert threaded == sequential * 4


@pytest.mark.parametrize("options", [{"long_side_px": 1}, {"quality": 0}, {"quality": 101}])
def test_an_invalid_option_is_refused_and_its_value_is_named(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        encode(photo((64, 48)), **options)
