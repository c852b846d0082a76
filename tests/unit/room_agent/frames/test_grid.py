"""The grid holds the means of square cells, rounded to a luma level."""

import numpy as np
import pytest

from room_agent.frames.grid import BlockMeans
from tests.support.screens import Desktop, copied, photo


@pytest.mark.parametrize(("size", "cell_px"), [((320, 180), 1), ((1280, 720), 2), ((1920, 1080), 4), ((3840, 2160), 8)])
def test_a_cell_is_the_mean_of_its_pixels(size: tuple[int, int], cell_px: int) -> None:
    means = BlockMeans(*size)
    luma = Desktop(size=size).planes().y
    expected = luma.reshape(size[1] // cell_px, cell_px, size[0] // cell_px, cell_px).mean((1, 3))
    assert means.cell_px == cell_px
    assert np.abs(means(luma) - expected).max() < 1


@pytest.mark.parametrize("size", [(641, 361), (1367, 769), (1921, 1083), (3203, 1801)])
def test_a_picture_with_odd_sides_is_covered_to_its_edges(size: tuple[int, int]) -> None:
    means = BlockMeans(*size)
    black = copied(photo(size)).y
    black[:] = 16
    corner = black.copy()
    corner[-means.cell_px :, -means.cell_px :] = 235
    changed = np.argwhere(means(corner) - means(black).astype(np.int16) > 100)
    assert means.shape == (-(-size[1] // means.cell_px), -(-size[0] // means.cell_px))
    assert [means.shape[0] - 1, means.shape[1] - 1] in changed.tolist()


def test_both_simulcast_layers_of_a_screen_give_the_same_grid() -> None:
    large = photo((1920, 1080))
    half = large.y.reshape(540, 2, 960, 2).mean((1, 3)).astype(np.uint8)
    difference = BlockMeans(960, 540)(half) - BlockMeans(1920, 1080)(large.y).astype(np.int16)
    assert np.abs(difference).max() <= 1


def test_a_picture_may_be_read_only() -> None:
    luma = photo((1280, 720)).y.copy()
    luma.flags.writeable = False
    assert BlockMeans(1280, 720)(luma).shape == (360, 640)
