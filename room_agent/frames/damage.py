"""Recognizes the green areas that a decoder leaves where it lost a part of a picture."""

from __future__ import annotations

import numpy as np

from room_agent.frames.i420 import Planes

_EMPTY_CHROMA = 8
"""Both chroma values lie below this only in memory that was never written: no colour of RGB has both below 34."""
_STEP_PX = 8
_DAMAGED_SHARE = 0.01


def is_damaged(planes: Planes) -> bool:
    """Return whether a hundredth of the picture or more was never decoded."""
    u, v = planes.u[::_STEP_PX, ::_STEP_PX], planes.v[::_STEP_PX, ::_STEP_PX]
    empty = np.maximum(u, v) < _EMPTY_CHROMA
    return bool(np.count_nonzero(empty) > _DAMAGED_SHARE * empty.size)
