"""The UTC day and month of an event's booking, as the journal stores them, and its day in a tenant's time zone."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from routing.billing import budgets
from routing.units import DAY_S

_FIRST_DAY = dt.date(1970, 1, 1)


def day_of(time_s: float) -> int:
    """Return the UTC day of a UNIX time, counted from 1970."""
    return int(time_s // DAY_S)


@lru_cache(maxsize=64)
def month_of_day(day: int) -> int:
    """Return the month of a UTC day as a number such as 202611."""
    date = _FIRST_DAY + dt.timedelta(days=day)
    return date.year * 100 + date.month


def local_day(time_s: float, zone: str) -> int:
    """Return the day of a UNIX time in a time zone, counted from 1970. An unknown zone, or none, is UTC."""
    return _day_number(budgets.day_of(time_s, zone))


@lru_cache(maxsize=4_096)
def _day_number(day: str) -> int:
    return (dt.date.fromisoformat(day) - _FIRST_DAY).days
