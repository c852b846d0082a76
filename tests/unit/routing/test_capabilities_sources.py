"""The rules and prices of each model agree with other published tables, or the row explains the difference."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import data as genai_prices

from routing.capabilities import FORCED_TOOL, JSON_SCHEMA
from routing.catalogue import Model, load_catalogue
from routing.models import Usage
from routing.prices import Price

DAY = dt.date(2026, 11, 30)
CATALOGUE = load_catalogue()
LITELLM: Mapping[str, Any] = json.loads(Path(__file__).with_name("litellm_rows.json").read_text("utf-8"))
ROWS: Mapping[str, Mapping[str, Any]] = LITELLM["models"]
# Neither has a row there: one is no longer served, one is newer than the table.
UNKNOWN_TO_LITELLM = {"claude-3-5-sonnet", "gpt-6.2-sol", "nova-3-keyterm", "nova-3-multi-keyterm"}
GENAI_PROVIDERS = {"gemini": "google", "anthropic": "anthropic", "openai": "openai"}
TOKEN_UNITS = {
    "input_cost_per_token": "input_pico",
    "output_cost_per_token": "output_pico",
    "cache_read_input_token_cost": "cached_input_pico",
    "cache_creation_input_token_cost": "cache_write_pico",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_pico",
}
MODELS = sorted(CATALOGUE.models)


def rule_pairs(model: Model, peer: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return our value and the other table's for each rule that the other table has."""
    rules = model.capabilities
    efforts = rules.thinking.efforts if rules.thinking is not None else ()
    ours: dict[str, tuple[Any, str]] = {
        "max_output_tokens": (model.max_output_tokens, "max_output_tokens"),
        "retires_on": (model.retires_on and model.retires_on.isoformat(), "deprecation_date"),
        "cache_min_tokens": (rules.cache_min_tokens, "prompt_cache_min_tokens"),
        "prefill": (rules.prefill, "supports_assistant_prefill"),
        "sampling": (rules.accepts("temperature"), "supports_sampling_params"),
        "forced_tool_choice": (rules.accepts(FORCED_TOOL), "supports_forced_tool_use"),
        "tools": (rules.accepts("tools"), "supports_function_calling"),
        "json_schema": (rules.accepts(JSON_SCHEMA), "supports_response_schema"),
        "images": (model.image_tokens is not None, "supports_vision"),
        "thinking": (rules.thinking is not None, "supports_reasoning"),
        "thinking_off": ("none" in efforts, "supports_none_reasoning_effort"),
        **{
            f"effort_{name}": (name in efforts, f"supports_{name}_reasoning_effort")
            for name in ("minimal", "xhigh", "max")
        },
    }
    pairs = {name: (value, peer[key]) for name, (value, key) in ours.items() if key in peer}
    if "thinking_always_on" in peer:
        pairs["thinking_off"] = ("none" in efforts, not peer["thinking_always_on"])
    if "successor_model" in peer:
        pairs["successor"] = (model.successor, peer["successor_model"].rpartition("/")[2])
    if "max_input_tokens" in peer and model.context_tokens is not None:
        # LiteLLM counts the input alone where a vendor publishes it apart from the context.
        input_tokens = {model.context_tokens, model.context_tokens - model.max_output_tokens}
        pairs["context_tokens"] = (True, peer["max_input_tokens"] in input_tokens)
    if peer and "llm" in model.services:
        tiers = {tier for tier in ("flex", "priority") if f"input_cost_per_token_{tier}" in peer}
        pairs["service_tiers"] = (set(rules.service_tiers), tiers)
    return pairs


def genai_pairs(model: Model) -> dict[str, tuple[Any, Any]]:
    provider = next(
        (one for one in genai_prices.providers if one.id == GENAI_PROVIDERS.get(model.vendor, "nobody")), None
    )
    row = provider.find_model(model.name, all_providers=genai_prices.providers) if provider is not None else None
    if row is None or row.context_window is None:
        return {}
    return {"context_window": (model.context_tokens, row.context_window)}


def price_pairs(price: Price, peer: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return our price and the other table's, in pico-dollars, for each unit, tier and long prompt of either."""
    pairs: dict[str, tuple[Any, Any]] = {}
    limit = f"_above_{price.long.above_input_tokens // 1_000}k_tokens" if price.long is not None else None
    for key, unit in TOKEN_UNITS.items():
        for above, rates in (("", price), *(((limit, price.long),) if limit is not None else ())):
            for tier in ("", *price.tiers):
                name = f"{key}{above}{'_' if tier else ''}{tier}"
                pico = getattr(rates, unit)
                ours = None if pico is None else unit_pico(price, unit, bool(above), tier)
                if ours is not None or name in peer:
                    pairs[f"{unit}{above}{'_' if tier else ''}{tier}"] = (ours, per_unit(peer.get(name)))
    seconds, characters = peer.get("input_cost_per_second"), peer.get("input_cost_per_character")
    if seconds is not None:
        # The table rounds a price for a second to five digits.
        pairs["audio_ms_pico"] = (round(price.audio_ms_pico or 0, -2), round(per_unit(seconds) / 1_000, -2))
    if characters is not None:
        pairs["character_pico"] = (price.character_pico, per_unit(characters))
    return pairs


def unit_pico(price: Price, unit: str, long: bool, tier: str) -> Decimal:
    """Return the price of one unit from the cost of a thousand, as it is billed."""
    tokens = price.long.above_input_tokens + 1 if long and price.long is not None else 0
    used = {
        "input_pico": Usage(input_tokens=1_000),
        "output_pico": Usage(output_tokens=1_000),
        "cached_input_pico": Usage(input_tokens=1_000, cached_input_tokens=1_000),
        "cache_write_pico": Usage(input_tokens=1_000, cache_write_tokens=1_000),
        "cache_write_1h_pico": Usage(input_tokens=1_000, cache_write_tokens=1_000, cache_write_1h_tokens=1_000),
    }[unit]
    base = Usage(input_tokens=tokens)
    return Decimal(price.cost_nanousd(base + used, tier or None) - price.cost_nanousd(base, tier or None))


def per_unit(usd: str | int | None) -> Any:
    return None if usd is None else Decimal(usd) * 10**12


def differences(pairs: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    # A price of zero there is one of a unit that the model does not have.
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and not (pair[0] is None and not pair[1])}


@pytest.mark.parametrize("name", MODELS)
def test_a_models_rules_agree_with_other_tables_or_explain_the_difference(name: str) -> None:
    model = CATALOGUE.get(name)
    found = differences(rule_pairs(model, ROWS.get(name, {})) | genai_pairs(model))
    assert {rule: pair for rule, pair in found.items() if rule not in model.differs} == {}
    assert set(model.differs) - set(found) == set(), "explained, but no longer different"


@pytest.mark.parametrize("name", MODELS)
def test_a_models_prices_agree_with_litellm_or_explain_the_difference(name: str) -> None:
    price = CATALOGUE.price(name, DAY)
    found = differences(price_pairs(price, ROWS[name])) if name in ROWS else {}
    assert {unit: pair for unit, pair in found.items() if unit not in price.differs} == {}
    assert set(price.differs) - set(found) == set(), "explained, but no longer different"


def test_no_model_is_unchecked() -> None:
    assert set(ROWS) | UNKNOWN_TO_LITELLM == set(MODELS)
    assert LITELLM["version"] == "1.110.2"


def test_every_kind_of_rule_and_price_is_compared_for_some_model() -> None:
    rules = {rule for name in ROWS for rule in rule_pairs(CATALOGUE.get(name), ROWS[name])}
    assert len(rules) >= 17
    units = {unit for name in ROWS for unit in price_pairs(CATALOGUE.price(name, DAY), ROWS[name])}
    assert units >= {"cache_write_1h_pico_above_100k_tokens", "output_pico_above_272k_tokens_flex", "audio_ms_pico"}


def test_a_difference_is_found() -> None:
    model, row = CATALOGUE.get("claude-haiku-5-5"), dict(ROWS["claude-haiku-5-5"])
    row |= {"supports_assistant_prefill": True, "prompt_cache_min_tokens": 1_024}
    assert differences(rule_pairs(model, row)) == {"prefill": (False, True), "cache_min_tokens": (512, 1_024)}
    dearer = row | {"cache_creation_input_token_cost_above_1hr": "0.0000003"}
    assert set(differences(price_pairs(CATALOGUE.price(model.name, DAY), dearer))) == {"cache_write_1h_pico"}
