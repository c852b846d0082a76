"""Write nano-dollars as text, and read them from it, without a float in between."""

from __future__ import annotations

from decimal import Decimal, DecimalException

from routing.units import NANOUSD_PER_USD

_MOST_USD = Decimal(10**12)


def decimal_dollars(nanousd: int) -> str:
    """Return an amount as a decimal number of dollars with all nine decimals, such as -0.000000002."""
    sign = "-" if nanousd < 0 else ""
    whole, rest = divmod(abs(nanousd), NANOUSD_PER_USD)
    return f"{sign}{whole}.{rest:09}"


def dollars(nanousd: int) -> str:
    """Return an amount as dollars with all nine decimals, such as -$0.000000002."""
    return f"-${decimal_dollars(-nanousd)}" if nanousd < 0 else f"${decimal_dollars(nanousd)}"


def nanousd_of(usd: object) -> int:
    """Return decimal dollars as nano-dollars, rounded half to even; raises ValueError for any other value.

    JSON has to be parsed with `parse_float=Decimal`, since a float has lost digits already.
    """
    if isinstance(usd, bool) or not isinstance(usd, int | str | Decimal):
        raise ValueError(f"{type(usd).__name__} is no decimal amount of dollars")
    try:
        amount = Decimal(usd)
        if not amount.is_finite() or abs(amount) > _MOST_USD:
            raise ValueError("the amount is not finite or too large")
        return int((amount * NANOUSD_PER_USD).to_integral_value())
    except DecimalException:
        raise ValueError(f"{str(usd)[:40]!r} is no decimal amount of dollars") from None
