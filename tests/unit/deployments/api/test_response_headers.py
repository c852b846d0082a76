"""A tenant's rate is written as OpenAI's clients parse it."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.api.response_headers import duration, rate_headers, refused_rate
from routing.ratelimit import RateStanding


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0124, "12ms"),
        (1, "1s"),
        (1.46, "1.5s"),
        (59.94, "59.9s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (90.4, "1m30s"),
    ],
)
def test_a_duration_has_the_vendors_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_standing_is_three_headers_and_none_is_none() -> None:
    headers = rate_headers(RateStanding(limit_per_minute=6, remaining=1, reset_s=2.5))
    assert headers == {
        "x-ratelimit-limit-requests": "6",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "2.5s",
    }
    assert rate_headers(None) == {}


def test_the_facts_of_a_refusal_are_the_same_headers() -> None:
    standing: dict[str, Any] = {"limit_per_minute": 6, "remaining": 0, "reset_s": 2.5}
    assert refused_rate(standing | {"more": 1}) == rate_headers(RateStanding(**standing))
    assert refused_rate({}) == refused_rate({"remaining": 0}) == {}
