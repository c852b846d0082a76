"""A picture's name stays through a codec and differs between pages; it is too coarse to see a typed line."""

import pytest

from room_agent.frames.phash import phash
from tests.support.screens import Desktop, brightened, photo, prose, slide, through_jpeg


def bits_between(one, other) -> int:
    return (phash(one) ^ phash(other)).bit_count()


def test_the_hash_has_64_bits_and_repeats():
    assert phash(Desktop().planes()) == phash(Desktop().planes()) < 2**64


@pytest.mark.parametrize("desktop", [Desktop(), Desktop(dark=True), Desktop(size=(641, 361))])
def test_a_codec_and_a_brighter_screen_keep_the_name(desktop):
    planes = desktop.planes()
    assert bits_between(planes, through_jpeg(planes, 50)) <= 4
    assert bits_between(planes, brightened(planes, 3)) <= 2


def test_both_layers_of_a_share_have_one_name():
    assert bits_between(photo((1280, 720)), photo((640, 360))) <= 4


def test_other_pages_have_other_names():
    pages = [Desktop().planes(), Desktop(dark=True).planes(), slide("Agenda", prose(4)), photo()]
    distances = [bits_between(one, other) for one in pages for other in pages if one is not other]
    assert min(distances) >= 12


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 200)])
def test_a_tiny_picture_has_a_name_too(size):
    assert 0 <= phash(photo(size)) < 2**64
