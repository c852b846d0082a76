"""A picture's hash survives a codec and differs between pages."""

import pytest

from room_agent.frames.i420 import Planes
from room_agent.frames.phash import phash
from tests.support.screens import Desktop, brightened, photo, prose, slide, through_jpeg


def bits_between(one: Planes, other: Planes) -> int:
    return (phash(one) ^ phash(other)).bit_count()


def test_equal_pictures_have_equal_64_bit_hashes() -> None:
    assert phash(Desktop().planes()) == phash(Desktop().planes()) < 2**64


@pytest.mark.parametrize("desktop", [Desktop(), Desktop(dark=True), Desktop(size=(641, 361))])
def test_a_codec_and_a_brighter_screen_keep_the_hash(desktop: Desktop) -> None:
    planes = desktop.planes()
    assert bits_between(planes, through_jpeg(planes, 50)) <= 4
    assert bits_between(planes, brightened(planes, 3)) <= 2


def test_both_simulcast_layers_of_a_screen_have_the_same_hash() -> None:
    assert bits_between(photo((1280, 720)), photo((640, 360))) <= 4


def test_different_pages_have_different_hashes() -> None:
    pages = [Desktop().planes(), Desktop(dark=True).planes(), slide("Agenda", prose(4)), photo()]
    distances = [bits_between(one, other) for one in pages for other in pages if one is not other]
    assert min(distances) >= 12


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 200)])
def test_a_tiny_picture_has_a_hash(size: tuple[int, int]) -> None:
    assert 0 <= phash(photo(size)) < 2**64
