"""Estimates the size of the smallest common text in a part of a picture."""

from __future__ import annotations

import numpy as np

from room_agent.frames.i420 import Plane

_STRONG_LUMA = 28
_STRIPE_PX = 32
_MOST_STRIPES = 16
# A line of text crosses a stripe of this width with two letters or more: each has a left and a right edge.
_EDGES = 4
_SHORTEST_RUN_PX, _LONGEST_RUN_PX = 4, 60
_FEWEST_RUNS = 3
_SMALL_PART = 20
# The rows of a line that hold many strokes are those of its small letters: in the usual fonts this part of the size.
_RUN_OF_SIZE = 0.56


def text_size_px(luma: Plane) -> float | None:
    """Return the font size that a fifth of the lines do not exceed, or None where there is hardly any text.

    The height of a line is that of its rows with many vertical strokes, in stripes spread over the picture.
    """
    height_px, width_px = luma.shape
    stripes = width_px // _STRIPE_PX
    if stripes == 0:
        return None
    step = -(-stripes // _MOST_STRIPES)
    used = luma[:, : stripes * _STRIPE_PX].reshape(height_px, stripes, _STRIPE_PX)[:, ::step]
    left, right = used[:, :, :-1], used[:, :, 1:]
    edges = np.maximum(left, right) - np.minimum(left, right) > _STRONG_LUMA
    inked = np.count_nonzero(edges, axis=2) >= _EDGES
    # The runs of inked rows of all stripes: each stripe ends with a blank row.
    columns = np.zeros((inked.shape[1], height_px + 2), np.int8)
    columns[:, 1:-1] = inked.T
    turns = np.diff(columns.ravel())
    runs = np.flatnonzero(turns == -1) - np.flatnonzero(turns == 1)
    runs = runs[(runs >= _SHORTEST_RUN_PX) & (runs <= _LONGEST_RUN_PX)]
    if runs.size < _FEWEST_RUNS:
        return None
    return float(np.percentile(runs, _SMALL_PART)) / _RUN_OF_SIZE
