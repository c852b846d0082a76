"""Format figures for readers: with a unit, only significant digits, and a word for unknown."""

from __future__ import annotations

import math

from routing.units import NANOUSD_PER_USD

UNKNOWN = "not known"


def count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def number(value: float | None) -> str:
    """Return a figure with three significant digits."""
    return UNKNOWN if value is None else f"{value:,.{_decimals(value, 3)}f}"


def milliseconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{number(value)} ms"


def share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:,.{_decimals(100 * value, 2)}f} %"


def seconds(value: float | None) -> str:
    """Return a duration: in seconds, from ten minutes on in minutes and seconds, or in hours and minutes."""
    if value is None:
        return UNKNOWN
    if value < 600:
        return f"{number(value)} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def moment(at_s: float | None) -> str:
    """Return a moment of a run as the time since its start, h:mm:ss.s."""
    if at_s is None:
        return UNKNOWN
    whole, tenths = divmod(round(10 * at_s), 10)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}.{tenths}"


def dollars(nanousd: float | None) -> str:
    """Return an amount with four significant digits and at least the cents: for reading, not for a bill."""
    if nanousd is None:
        return UNKNOWN
    value = nanousd / NANOUSD_PER_USD
    return f"${value:,.{max(2, _decimals(value, 4))}f}"


def times(before: float | None, after: float | None) -> str:
    """Return the factor by which a value decreased."""
    return UNKNOWN if before is None or not after else f"÷ {number(before / after)}"


def difference(first: float | None, second: float | None) -> str:
    """Return the excess of `second` over `first` in percent of `first`."""
    if first is None or second is None:
        return UNKNOWN
    if first == second:
        return "equal"
    return f"{100 * (second / first - 1):+,.1f} %" if first else "from nothing"


def target(name: str, value: float | None) -> str:
    """Return a target's value in the unit given by its name's prefix or suffix."""
    if name.endswith("_ms"):
        return milliseconds(value)
    if name.endswith("_share"):
        return share(value)
    if name.startswith("usd_"):
        return UNKNOWN if value is None else dollars(value * NANOUSD_PER_USD)
    if name.endswith("_nanousd"):
        return dollars(value)
    return number(value)


def _decimals(value: float, digits: int) -> int:
    if not value or not math.isfinite(value):
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))
