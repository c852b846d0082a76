"""Compare this machine's clock with the backend's: a wrong one bills in another day, and ends tokens early or late."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

import structlog

MOST_OFF_S = 60.0
"""The header `Date` has whole seconds, and the response took some of them."""

log = structlog.get_logger()


class ClockCheck:
    """Logs that a clock is off when it is first seen, and again after it was right in between."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._off = False

    def compare(self, date: str | None) -> None:
        """Compare the clock with the `Date` header of a response that has just arrived."""
        theirs_s = seconds_of(date)
        if theirs_s is None:
            return
        ahead_s = self._clock() - theirs_s
        off = abs(ahead_s) > MOST_OFF_S
        if off and not self._off:
            log.error(
                "clock differs from the backend's",
                ahead_s=round(ahead_s),
                effect="costs are booked in another day, and room tokens end early or late",
                remedy="synchronize the clocks of both",
            )
        self._off = off


def seconds_of(date: str | None) -> float | None:
    """Return the time of a `Date` header as Unix seconds; None for one that cannot be read."""
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
