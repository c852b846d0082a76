"""The price rows agree with a second, independent table."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price

from routing.catalogue import load_catalogue
from routing.models import Usage

DAY = dt.date(2026, 11, 25)
CATALOGUE = load_catalogue()
PROVIDERS = {"gemini": "google", "anthropic": "anthropic", "openai": "openai", "voyage": "voyageai"}
# genai-prices 0.2.3 prices tokens, so it has no row for pixels, minutes of audio and characters.
NO_TOKENS = {"voyage-multimodal-3", "voyage-multimodal-3.5", "nova-3", "eleven_turbo_v2_5", "eleven_flash_v2_5"}
# gpt-6.2-sol is newer than the table.
UNKNOWN_THERE = NO_TOKENS | {"gpt-6.2-sol"}
KNOWN_THERE = sorted(CATALOGUE.models.keys() - UNKNOWN_THERE)
USAGES = {
    "plain": Usage(input_tokens=10_000, output_tokens=1_000),
    "cached": Usage(input_tokens=10_000, cached_input_tokens=4_000, output_tokens=1_000),
    "long": Usage(input_tokens=300_000, cached_input_tokens=100_000, output_tokens=1_000),
    "written": Usage(input_tokens=10_000, cache_write_tokens=4_000, output_tokens=1_000),
}


def theirs_nanousd(model: str, usage: Usage, day: dt.date) -> Decimal:
    asked = TheirUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    at = dt.datetime.combine(day, dt.time(12), dt.UTC)
    provider = PROVIDERS[CATALOGUE.get(model).vendor]
    return calc_price(asked, model, provider_id=provider, genai_request_timestamp=at).total_price * 10**9


def usages(model: str, day: dt.date) -> list[Usage]:
    """Return the units that the model can use: an embedding has no output, and not every cache charges for a write."""
    price = CATALOGUE.price(model, day)
    if price.output_pico is None:
        return [Usage(input_tokens=10_000)]
    return [usage for name, usage in USAGES.items() if name != "written" or price.cache_write_pico is not None]


@pytest.mark.parametrize("model", KNOWN_THERE)
def test_a_token_costs_the_same_in_both_tables(model: str) -> None:
    for usage in usages(model, DAY):
        assert CATALOGUE.price(model, DAY).cost_nanousd(usage) == theirs_nanousd(model, usage, DAY), usage


@pytest.mark.parametrize("model", sorted(UNKNOWN_THERE))
def test_what_the_other_table_does_not_know_it_still_does_not_know(model: str) -> None:
    with pytest.raises((LookupError, KeyError)):
        calc_price(TheirUsage(input_tokens=1), model, provider_id=PROVIDERS.get(CATALOGUE.get(model).vendor, model))


def test_a_price_that_changes_on_a_day_changes_on_that_day() -> None:
    usage = USAGES["plain"]
    before, after = dt.date(2026, 12, 31), dt.date(2027, 1, 1)
    costs = [CATALOGUE.price("gemini-3.8-flash", day).cost_nanousd(usage) for day in (before, after)]
    assert costs == [theirs_nanousd("gemini-3.8-flash", usage, day) for day in (before, after)]
    assert costs[1] == 2 * costs[0]


def test_no_model_is_left_unchecked() -> None:
    assert set(KNOWN_THERE) | UNKNOWN_THERE == set(CATALOGUE.models)
    assert len(KNOWN_THERE) >= 10
