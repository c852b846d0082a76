"""Adapt the number of windows in a call to the calls that the backend accepts."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_CALLS_TO_GROW = 64


@dataclass
class CallSize:
    """The most windows of one call: fewer after a failed call, more after full calls that were stored.

    Each failure doubles the number of stored calls before the next growth, and each growth that holds halves it again.
    So a fixed limit of the backend is tried ever less often.
    """

    most_rows: int
    rows: int = field(init=False)
    _stored_calls: int = 0
    _calls_to_grow: int = 1
    _grown: bool = False

    def __post_init__(self) -> None:
        self.rows = self.most_rows

    def shrink(self, rows: int) -> None:
        """Halve the size after a call of `rows` windows that was too large, too slow or failed."""
        self.rows = max(1, min(rows, self.rows) // 2)
        self._stored_calls, self._grown = 0, False
        self._calls_to_grow = min(MOST_CALLS_TO_GROW, self._calls_to_grow * 2)

    def stored(self, rows: int) -> None:
        """Count a stored call of `rows` windows; a call that was not full says nothing about the limit."""
        if rows < self.rows or self.rows == self.most_rows:
            return
        if self._grown:
            self._calls_to_grow, self._grown = max(1, self._calls_to_grow // 2), False
        self._stored_calls += 1
        if self._stored_calls >= self._calls_to_grow:
            self.rows = min(self.most_rows, self.rows + max(1, self.rows // 4))
            self._stored_calls, self._grown = 0, True
