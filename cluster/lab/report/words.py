"""Format figures for readers: with a unit, only significant digits, and a word for unknown."""

from __future__ import annotations

import math

UNKNOWN = "not known"
NANO = 1_000_000_000


def count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def number(value: float | None) -> str:
    """Return a figure with three digits that mean something."""
    return UNKNOWN if value is None else f"{value:,.{_decimals(value, 3)}f}"


def milliseconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{number(value)} ms"


def share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:,.{_decimals(100 * value, 2)}f} %"


def seconds(value: float | None) -> str:
    """Return a length of time: seconds, and from ten minutes on minutes or hours with them."""
    if value is None:
        return UNKNOWN
    if value < 600:
        return f"{number(value)} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def moment(at_s: float | None) -> str:
    """Return a moment of a run, from its start, as on a clock."""
    if at_s is None:
        return UNKNOWN
    whole, tenths = divmod(round(10 * at_s), 10)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}.{tenths}"


def dollars(nanousd: float | None) -> str:
    """Return an amount for reading, not for a bill: four digits that mean something, and at least the cents."""
    if nanousd is None:
        return UNKNOWN
    value = nanousd / NANO
    return f"${value:,.{max(2, _decimals(value, 4))}f}"


def times(before: float | None, after: float | None) -> str:
    """Return how many times less it became."""
    return UNKNOWN if before is None or not after else f"÷ {number(before / after)}"


def difference(one: float | None, other: float | None) -> str:
    """Return by how much `other` is more than `one`, in percent of `one`."""
    if one is None or other is None:
        return UNKNOWN
    if one == other:
        return "equal"
    return f"{100 * (other / one - 1):+,.1f} %" if one else "from nothing"


def target(name: str, value: float | None) -> str:
    """Return a target's figure in the unit that its name ends or begins with."""
    if name.endswith("_ms"):
        return milliseconds(value)
    if name.endswith("_share"):
        return share(value)
    if name.startswith("usd_"):
        return UNKNOWN if value is None else dollars(value * NANO)
    if name.endswith("_nanousd"):
        return dollars(value)
    return number(value)


def _decimals(value: float, digits: int) -> int:
    if not value or not math.isfinite(value):
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))
