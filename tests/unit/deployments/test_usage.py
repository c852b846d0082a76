"""Each vendor's usage, parsed by its own SDK, becomes the billed usage; usage_fixtures/ has the edge cases."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import MessageDeltaUsage
from anthropic.types import Usage as MessageUsage
from google.genai.types import GenerateContentResponseUsageMetadata
from openai.types import CompletionUsage
from voyageai.api_resources import VoyageResponse

from deployments.providers.usage import from_anthropic, from_gemini, from_openai, from_voyage
from routing.models import Usage
from routing.prices import Price

FIXTURES = sorted(Path(__file__).with_name("usage_fixtures").glob("*.json"))
PARSED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "openai": lambda told: CompletionUsage.construct(**told),
    "anthropic": lambda told: (MessageUsage if "input_tokens" in told else MessageDeltaUsage).construct(**told),
    "gemini": GenerateContentResponseUsageMetadata.model_validate,
    "voyage": partial(VoyageResponse.construct_from),
}
OURS: dict[str, Callable[[Any, Usage | None], Usage | None]] = {
    "openai": lambda usage, earlier: from_openai(usage) or earlier,
    "anthropic": from_anthropic,
    "gemini": lambda usage, earlier: from_gemini(usage) or earlier,
    "voyage": lambda usage, earlier: from_voyage(usage) or earlier,
}


def normalised(fixture: dict[str, Any]) -> Usage | None:
    """Return the usage after everything the vendor told, in the order in which it told it."""
    usage = None
    for told in fixture["told"]:
        parsed = None if told is None else PARSED[fixture["vendor"]](told)
        usage = OURS[fixture["vendor"]](parsed, usage)
    return usage


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_what_a_vendor_told_is_what_we_bill(path: Path) -> None:
    fixture = json.loads(path.read_text())
    expected = None if fixture["ours"] is None else Usage(**fixture["ours"])
    assert normalised(fixture) == expected and fixture["trap"] and fixture["source"]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_no_part_is_larger_than_the_whole(path: Path) -> None:
    usage = normalised(json.loads(path.read_text())) or Usage()
    assert usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert usage.thinking_tokens <= usage.output_tokens and usage.image_tokens <= usage.input_tokens


def test_every_vendor_has_its_traps() -> None:
    assert {json.loads(path.read_text())["vendor"] for path in FIXTURES} == set(PARSED)


@pytest.mark.parametrize("name", ["gemini_thinking", "openai_cached_and_reasoning", "anthropic_cache"])
def test_thinking_is_billed_as_output_and_once(name: str) -> None:
    fixture = json.loads(Path(__file__).with_name("usage_fixtures").joinpath(f"{name}.json").read_text())
    price = Price(
        model="m",
        effective_from=dt.date(2026, 1, 1),
        source="a test",
        input_pico=0,
        cached_input_pico=0,
        cache_write_pico=0,
        output_pico=1_000,
    )
    usage = normalised(fixture)
    assert usage is not None and price.cost_nanousd(usage) == fixture["ours"]["output_tokens"]


def test_a_part_that_a_server_counts_twice_is_not_billed_below_zero() -> None:
    """A server that leaves cached tokens out of the prompt would else make the rest of it negative."""
    details: dict[str, Any] = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 64}}
    usage = from_openai(CompletionUsage.construct(completion_tokens=1, **details))
    assert usage is not None and usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens >= 0


BROKEN: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {"prompt_tokens": -7},
        {"prompt_tokens": 7, "completion_tokens": -1},
        {"prompt_tokens": 7, "completion_tokens": math.nan},
    ],
    "anthropic": [
        {"input_tokens": -7, "output_tokens": 3},
        {"input_tokens": 7, "output_tokens": -3},
        {"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": -1},
    ],
    "gemini": [
        {"prompt_token_count": -7},
        {"prompt_token_count": 7, "candidates_token_count": -1},
        {"prompt_token_count": 7, "thoughts_token_count": -1},
    ],
    "voyage": [
        {"text_tokens": -7, "image_pixels": -1, "total_tokens": -7},
        {"text_tokens": -7, "total_tokens": 7},
        {"text_tokens": 7, "image_pixels": -1, "total_tokens": 7},
        {"total_tokens": math.inf},
        {"total_tokens": True},
    ],
}


@pytest.mark.parametrize(("vendor", "told"), [(vendor, told) for vendor, all_ in BROKEN.items() for told in all_])
def test_a_count_below_zero_or_without_end_is_unknown_and_not_nothing(vendor: str, told: dict[str, Any]) -> None:
    earlier = Usage(input_tokens=7, output_tokens=1) if vendor == "anthropic" else None
    assert OURS[vendor](PARSED[vendor](told), earlier) is None


def test_a_stream_that_never_told_its_input_has_told_nothing() -> None:
    assert from_anthropic(MessageDeltaUsage.construct(output_tokens=40), None) is None
