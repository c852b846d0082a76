"""The grid holds the means of square cells, rounded to a luma level."""

import numpy as np
import pytest

from room_agent.frames.grid import BlockMeans
from room_agent.frames.i420 import Planes
from tests.support.screens import Desktop, copied, packed, photo


@pytest.mark.parametrize(("size", "cell_px"), [((320, 180), 1), ((1280, 720), 2), ((1920, 1080), 4), ((3840, 2160), 8)])
def test_a_cell_is_the_mean_of_its_pixels(size: tuple[int, int], cell_px: int) -> None:
    means = BlockMeans(*size)
    planes = Desktop(size=size).planes()
    expected = planes.y.reshape(size[1] // cell_px, cell_px, size[0] // cell_px, cell_px).mean((1, 3))
    assert means.cell_px == cell_px
    assert np.abs(means.grid(planes).y - expected).max() < 1


@pytest.mark.parametrize("size", [(641, 361), (1367, 769), (1921, 1083), (3203, 1801)])
def test_a_picture_with_odd_sides_is_covered_to_its_edges(size: tuple[int, int]) -> None:
    means = BlockMeans(*size)
    black = copied(photo(size))
    black.y[:] = 16
    corner = copied(black)
    corner.y[-means.cell_px :, -means.cell_px :] = 235
    changed = np.argwhere(means.grid(corner).y - means.grid(black).y.astype(np.int16) > 100)
    assert means.shape == (-(-size[1] // means.cell_px), -(-size[0] // means.cell_px))
    assert [means.shape[0] - 1, means.shape[1] - 1] in changed.tolist()


def test_both_simulcast_layers_of_a_screen_give_the_same_grid() -> None:
    large = photo((1920, 1080))
    half = copied(photo((960, 540)))
    half.y[:] = large.y.reshape(540, 2, 960, 2).mean((1, 3))
    difference = BlockMeans(960, 540).grid(half).y - BlockMeans(1920, 1080).grid(large).y.astype(np.int16)
    assert np.abs(difference).max() <= 1


def test_a_picture_may_be_read_only() -> None:
    planes = Planes.from_i420(bytes(packed(photo((1280, 720)))), 1280, 720)
    assert not planes.y.flags.writeable
    assert BlockMeans(1280, 720).grid(planes).shape == (360, 640)


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (3840, 2160), (1366, 768), (640, 360), (800, 450)])
def test_planes_in_one_piece_have_the_means_of_planes_apart(size: tuple[int, int]) -> None:
    planes = Desktop(size=size, pointer=(300, 200)).planes()
    whole = Planes.from_i420(packed(planes), *size)
    found, expected = BlockMeans(*size).grid(whole), BlockMeans(*size).grid(copied(planes))
    for one, other in ((found.y, expected.y), (found.u, expected.u), (found.v, expected.v)):
        assert np.abs(one.astype(np.int16) - other).max() <= 2
