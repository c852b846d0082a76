"""The UTC day and month of an event's booking, as the journal stores them."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

DAY_S = 86_400


def day_of(time_s: float) -> int:
    """Return the UTC day of a UNIX time, counted from 1970."""
    return int(time_s // DAY_S)


@lru_cache(maxsize=64)
def month_of_day(day: int) -> int:
    """Return the month of a UTC day as a number such as 202611."""
    date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
    return date.year * 100 + date.month
