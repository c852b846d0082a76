"""A cost is computed in integers and rounded once, and a unit without a price is an error."""

from __future__ import annotations

import datetime as dt

import pytest

from routing.errors import ConfigurationError
from routing.models import Usage
from routing.prices import AccountPrice, load_prices, round_half_even

DAY = dt.date(2026, 11, 24)
PRICES = load_prices()


@pytest.mark.parametrize(
    ("model", "usage", "nanousd"),
    [
        # 100,000 tokens at 0.10 USD a million, and 1,000 out at 0.50 USD.
        ("gpt-6-luna", Usage(input_tokens=100_000, output_tokens=1_000), 10_000_000 + 500_000),
        # Beyond 272,000 tokens the whole prompt costs twice as much, and the output 1.5 times as much.
        ("gpt-6-luna", Usage(input_tokens=272_000, output_tokens=1_000), 27_200_000 + 500_000),
        ("gpt-6-luna", Usage(input_tokens=272_001, output_tokens=1_000), 54_400_200 + 750_000),
        # Claude Haiku beyond 100,000: five times, the tokens read from the cache too.
        ("claude-haiku-5-5", Usage(input_tokens=100_001, cached_input_tokens=100_000), 500 + 5_000_000),
        # Cached tokens are part of the input, at a tenth of its price.
        ("gpt-6-luna", Usage(input_tokens=1_000, cached_input_tokens=400), 60_000 + 4_000),
        # Claude: 100 plain, 50 read from the cache, 20 written to it.
        ("claude-sonnet-5-5", Usage(input_tokens=170, cached_input_tokens=50, cache_write_tokens=20), 255_000),
        # The same with 5 of the 20 for an hour, at 4 USD a million instead of 2.50 USD.
        (
            "claude-sonnet-5-5",
            Usage(input_tokens=170, cached_input_tokens=50, cache_write_tokens=20, cache_write_1h_tokens=5),
            262_500,
        ),
        # One 1024 x 576 picture on Voyage: 589,824 px at 0.60 USD a billion, and 10 tokens.
        ("voyage-multimodal-3.5", Usage(input_tokens=10, image_px=589_824), 1_200 + 353_894),
        # A minute of speech costs 0.0048 USD, a thousand characters 0.04 USD.
        ("nova-3", Usage(audio_ms=60_000), 4_800_000),
        # With the language multi, 0.0058 USD.
        ("nova-3-multi", Usage(audio_ms=60_000), 5_800_020),
        ("eleven_turbo_v2_5", Usage(characters=1_000), 40_000_000),
        ("gpt-6-luna", Usage(), 0),
    ],
)
def test_usage_is_priced_by_its_row(model: str, usage: Usage, nanousd: int) -> None:
    assert PRICES.of(model, DAY).cost_nanousd(usage) == nanousd


def test_a_long_prompt_with_an_unpriced_unit_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="claude-haiku-5-5 has no image_px_pico"):
        PRICES.of("claude-haiku-5-5", DAY).cost_nanousd(Usage(input_tokens=100_001, image_px=1))


def test_thinking_and_image_tokens_are_not_charged_twice() -> None:
    price = PRICES.of("gpt-6-luna", DAY)
    plain = Usage(input_tokens=100, output_tokens=10)
    detailed = Usage(input_tokens=100, output_tokens=10, thinking_tokens=4, image_tokens=60)
    assert price.cost_nanousd(plain) == price.cost_nanousd(detailed)


@pytest.mark.parametrize(("value", "rounded"), [(499, 0), (500, 0), (501, 1), (1_500, 2), (2_500, 2), (2_501, 3)])
def test_a_tie_rounds_to_the_even_nano_dollar(value: int, rounded: int) -> None:
    assert round_half_even(value, 1_000) == rounded


def test_an_unpriced_unit_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="nova-3 has no input_pico"):
        PRICES.of("nova-3", DAY).cost_nanousd(Usage(input_tokens=1))


def test_the_latest_row_up_to_the_day_applies() -> None:
    text = """
        [[price]]
        model = "m"
        effective_from = 2026-06-01
        input_pico = 2
        source = "later"
        [[price]]
        model = "m"
        effective_from = 2026-01-01
        input_pico = 1
        source = "earlier"
    """
    prices = load_prices(text)
    assert prices.of("m", dt.date(2026, 5, 31)).version == "m@2026-01-01"
    assert prices.of("m", dt.date(2026, 6, 1)).version == "m@2026-06-01"
    with pytest.raises(ConfigurationError, match="no row for m on 2025-12-31"):
        prices.of("m", dt.date(2025, 12, 31))


@pytest.mark.parametrize("line", ["input_pico = -1", "input_pico = 0.5", "input_picos = 1"])
def test_the_error_for_an_invalid_row_names_it(line: str) -> None:
    row = f'[[price]]\nmodel = "m"\neffective_from = 2026-01-01\nsource = "s"\n{line}'
    with pytest.raises(ConfigurationError, match=r"row 1 \(m\): input_pico"):
        load_prices(row)


def test_two_rows_of_a_model_that_begin_on_one_day_are_an_error() -> None:
    row = '[[price]]\nmodel = "m"\neffective_from = 2026-01-01\nsource = "s"\ninput_pico = 1\n'
    with pytest.raises(ConfigurationError, match=r"row 2 \(m\): another row begins on 2026-01-01 too"):
        load_prices(row + row)


def test_an_uplift_is_in_the_cost_and_in_the_version_and_rounds_once() -> None:
    price = PRICES.uplifted({"gpt-6-luna": 110}).of("gpt-6-luna", DAY)
    assert price.cost_nanousd(ASKED) == 125_400 and price.version.endswith("x110%")
    assert price.cost_nanousd(Usage(input_tokens=1)) == 110


ASKED = Usage(input_tokens=1_000, cached_input_tokens=400, output_tokens=100)


@pytest.mark.parametrize(
    ("model", "tier", "nanousd"),
    [
        ("gpt-6-luna", None, 60_000 + 4_000 + 50_000),
        ("gpt-6-luna", "default", 114_000),
        ("gpt-6-luna", "flex", 57_000),
        ("gpt-6-luna", "priority", 228_000),
        # A newer name of priority, and a vendor's own spelling.
        ("gpt-6-luna", "fast", 228_000),
        ("gemini-3.5-flash-lite", "FLEX", 90_000 + 8_000 + 125_000),
        ("gemini-3.5-flash-lite", "STANDARD", 180_000 + 12_000 + 250_000),
        # An unknown tier costs as much as the dearest known one, the standard where there is no other.
        ("gpt-6-luna", "scale", 228_000),
        ("claude-haiku-5-5", "priority", 114_000),
    ],
)
def test_a_request_is_priced_at_the_tier_that_was_served(model: str, tier: str | None, nanousd: int) -> None:
    assert PRICES.of(model, DAY).cost_nanousd(ASKED, tier) == nanousd


def test_a_tier_is_priced_for_long_prompts_too() -> None:
    long = Usage(input_tokens=272_001)
    price = PRICES.of("gpt-6-luna", DAY)
    assert price.cost_nanousd(long, "flex") * 2 == price.cost_nanousd(long) == 54_400_200


def test_a_tier_without_a_price_is_known_as_such() -> None:
    price = PRICES.of("gpt-6-luna", DAY)
    assert [price.knows_tier(tier) for tier in (None, "auto", "Flex", "fast", "scale")] == [True] * 4 + [False]


def test_a_tier_whose_rate_would_need_rounding_is_an_error() -> None:
    row = '[[price]]\nmodel = "m"\neffective_from = 2026-01-01\nsource = "s"\ninput_pico = 15\n[price.tiers]\n'
    with pytest.raises(ConfigurationError, match=r"tier flex: input_pico 15 x 50 % is no whole number"):
        load_prices(row + "flex = { percent = 50 }")
    price = load_prices(row + "flex = { percent = 50, input_pico = 8 }").of("m", DAY)
    # Cached tokens have no price of their own, so theirs is the tier's of any input.
    assert price.cost_nanousd(Usage(input_tokens=1_000, cached_input_tokens=400), "flex") == 8


def account(model: str, day: str, **units: int) -> AccountPrice:
    return AccountPrice.model_validate({"model": model, "effective_from": day, **units})


def test_an_accounts_price_replaces_the_shipped_ones_from_its_day_on() -> None:
    own = account("gemini-3.8-flash", "2026-12-01", input_pico=500_000, output_pico=2_000_000)
    prices = PRICES.overridden([own])
    shipped = dt.date(2026, 11, 30)
    assert prices.of("gemini-3.8-flash", shipped) == PRICES.of("gemini-3.8-flash", shipped)
    # The shipped row of 2027-01-01 does not come back.
    for day in (dt.date(2026, 12, 1), dt.date(2027, 6, 1)):
        assert prices.of("gemini-3.8-flash", day).cost_nanousd(ASKED) == 500_000 + 200_000
        assert prices.of("gemini-3.8-flash", day).version == "gemini-3.8-flash@2026-12-01+account"
    assert prices.of("nova-3", DAY) == PRICES.of("nova-3", DAY)


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ([account("nova-9", "2026-01-01", audio_ms_pico=1)], "prices.0.model"),
        ([account("nova-3", "2026-01-01", input_pico=1)], "prices.0.audio_ms_pico"),
        ([account("nova-3", "2026-01-01", audio_ms_pico=1)] * 2, "prices.1.effective_from"),
    ],
)
def test_an_accounts_price_that_cannot_apply_is_named(rows: list[AccountPrice], wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong) as excinfo:
        PRICES.overridden(rows)
    assert excinfo.value.param == wrong
