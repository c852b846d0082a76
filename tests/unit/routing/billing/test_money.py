"""Money is whole nano-dollars, as text and back, without a float in between."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.billing.money import decimal_dollars, nanousd_of


@given(st.integers(-(10**18), 10**18))
def test_an_amount_returns_from_its_text(nanousd: int) -> None:
    assert nanousd_of(decimal_dollars(nanousd)) == nanousd


@pytest.mark.parametrize(
    ("usd", "nanousd"),
    [("1.23", 1_230_000_000), (Decimal("0.0000000005"), 0), (Decimal("0.0000000015"), 2), (3, 3_000_000_000)],
)
def test_an_amount_is_rounded_half_to_even(usd: object, nanousd: int) -> None:
    assert nanousd_of(usd) == nanousd


def test_a_number_of_json_keeps_its_digits() -> None:
    assert nanousd_of(json.loads("0.123456789", parse_float=Decimal)) == 123_456_789


@pytest.mark.parametrize("usd", [0.1, True, None, "", "NaN", "-Infinity", "1e30", "1,5", []])
def test_anything_else_is_refused(usd: Any) -> None:
    with pytest.raises(ValueError):
        nanousd_of(usd)
