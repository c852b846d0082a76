"""Notices that a share goes black, so that the memory of the room says it once and without a model."""

from __future__ import annotations

from room_agent.core.router_client import Description

BLACK_AFTER_S = 2.0
"""A change between two programs is black for less."""
BLACK_WHY = "black"
"""The detector's reason for a black picture."""
BLACK = Description(
    description="The shared picture is black: nothing is shown at the moment.",
    model="",
    tier="",
    cost_nanousd=0,
    simulated=False,
)
"""The description of a black share, which no model wrote."""


class BlackScreen:
    """Whether one track's picture is black; the clock is a parameter."""

    def __init__(self) -> None:
        self._shown = False
        self._black_since_s: float | None = None

    def begins(self, is_black: bool, now_s: float) -> bool:
        """Return True once for each time that a picture which was shown has been black for `BLACK_AFTER_S`."""
        if not is_black:
            self._shown, self._black_since_s = True, None
            return False
        if self._black_since_s is None:
            self._black_since_s = now_s
        begins = self._shown and now_s - self._black_since_s >= BLACK_AFTER_S
        self._shown = self._shown and not begins
        return begins
