"""Tell the time at which costs are booked: one clock for the whole cluster, which never steps."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

MOST_BEHIND_S = 60.0

log = structlog.get_logger()


class BookingClock:
    """Return UNIX seconds: the wall clock's at the start, advanced by the monotonic clock from then on.

    It never returns a time before `not_before_s`, the last booked time of the journal. A wall clock that lies behind
    that time at the start is reached at half speed, so that months stay closed and intents still expire.
    """

    def __init__(
        self,
        not_before_s: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._not_before_s = not_before_s
        self._wall_s = wall()
        self._monotonic = monotonic
        self._started_s = monotonic()
        behind_s = not_before_s - self._wall_s
        if behind_s > MOST_BEHIND_S:
            # The journal's last cost was booked by a fast clock, or this one is slow.
            log.error("clock behind the journal", behind_s=round(behind_s), remedy="synchronize this machine's clock")

    def __call__(self) -> float:
        elapsed_s = self._monotonic() - self._started_s
        return max(self._wall_s + elapsed_s, self._not_before_s + elapsed_s / 2)
