"""The price rows agree with a second, independent table."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from genai_prices import Usage as PeerUsage
from genai_prices import calc_price
from genai_prices.types import PriceContext

from routing.catalogue import load_catalogue
from routing.models import Usage

DAY = dt.date(2026, 11, 25)
CATALOGUE = load_catalogue()
PROVIDERS = {"gemini": "google", "anthropic": "anthropic", "openai": "openai", "voyage": "voyageai"}
# genai-prices 0.2.3 prices tokens, so it has no row for pixels, minutes of audio and characters.
NO_TOKENS = {
    "voyage-multimodal-3",
    "voyage-multimodal-3.5",
    "nova-3",
    "nova-3-multi",
    "nova-3-keyterm",
    "nova-3-multi-keyterm",
    "eleven_turbo_v2_5",
    "eleven_flash_v2_5",
}
# gpt-6.2-sol is newer than the table.
UNKNOWN_TO_PEER = NO_TOKENS | {"gpt-6.2-sol"}
KNOWN_TO_PEER = sorted(CATALOGUE.models.keys() - UNKNOWN_TO_PEER)
USAGES = {
    "plain": Usage(input_tokens=10_000, output_tokens=1_000),
    "cached": Usage(input_tokens=10_000, cached_input_tokens=4_000, output_tokens=1_000),
    "long": Usage(input_tokens=300_000, cached_input_tokens=100_000, output_tokens=1_000),
    "written": Usage(input_tokens=10_000, cache_write_tokens=4_000, output_tokens=1_000),
    "written for an hour": Usage(input_tokens=10_000, cache_write_tokens=4_000, cache_write_1h_tokens=1_500),
    "written for an hour, long": Usage(input_tokens=300_000, cache_write_tokens=9_000, cache_write_1h_tokens=9_000),
}


def peer_cost_nanousd(model: str, usage: Usage, day: dt.date, tier: str | None = None) -> Decimal:
    peer_usage = PeerUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
    )
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    provider = PROVIDERS[CATALOGUE.get(model).vendor]
    context: PriceContext = {"service_tier": tier or "default"}
    price = calc_price(
        peer_usage, model, provider_id=provider, genai_request_timestamp=noon, price_context=context
    ).total_price
    return price * 10**9


def usages(model: str, day: dt.date) -> list[Usage]:
    """Return the units that the model can use: an embedding has no output, and not every cache charges for a write."""
    price = CATALOGUE.price(model, day)
    if price.output_pico is None:
        return [Usage(input_tokens=10_000)]
    priced = {"written": price.cache_write_pico, "written for": price.cache_write_1h_pico}
    return [
        usage
        for name, usage in USAGES.items()
        if all(pico is not None or not name.startswith(kind) for kind, pico in priced.items())
    ]


@pytest.mark.parametrize("model", KNOWN_TO_PEER)
def test_both_tables_charge_the_same_for_tokens(model: str) -> None:
    for usage in usages(model, DAY):
        assert CATALOGUE.price(model, DAY).cost_nanousd(usage) == peer_cost_nanousd(model, usage, DAY), usage


@pytest.mark.parametrize("tier", ["default", "flex", "priority", "fast"])
@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-6-sol", "gpt-6.1-terra", "gpt-6.1-sol"])
def test_both_tables_charge_the_same_for_a_service_tier(model: str, tier: str) -> None:
    for usage in usages(model, DAY):
        assert CATALOGUE.price(model, DAY).cost_nanousd(usage, tier) == peer_cost_nanousd(model, usage, DAY, tier)


@pytest.mark.parametrize("model", sorted(UNKNOWN_TO_PEER))
def test_the_other_table_still_has_no_price_for_the_excluded_models(model: str) -> None:
    with pytest.raises((LookupError, KeyError)):
        calc_price(PeerUsage(input_tokens=1), model, provider_id=PROVIDERS.get(CATALOGUE.get(model).vendor, model))


def test_a_price_change_takes_effect_on_its_date() -> None:
    usage = USAGES["plain"]
    before, after = dt.date(2026, 12, 31), dt.date(2027, 1, 1)
    costs = [CATALOGUE.price("gemini-3.8-flash", day).cost_nanousd(usage) for day in (before, after)]
    assert costs == [peer_cost_nanousd("gemini-3.8-flash", usage, day) for day in (before, after)]
    assert costs[1] == 2 * costs[0]


def test_every_model_is_compared_or_excluded() -> None:
    assert set(KNOWN_TO_PEER) | UNKNOWN_TO_PEER == set(CATALOGUE.models)
    assert len(KNOWN_TO_PEER) >= 10
