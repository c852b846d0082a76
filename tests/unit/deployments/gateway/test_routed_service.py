"""A request that allows more text, or more thinking, than the defaults has more time for them."""

from __future__ import annotations

import pytest

from deployments.gateway.models import AttemptTimeouts
from deployments.gateway.routed_service import extra_thinking_tokens, with_extra_time
from routing.capabilities import Capabilities, Thinking
from routing.catalogue import Model, load_catalogue
from routing.chat import ChatOptions, Effort

TIMEOUTS = AttemptTimeouts(attempt_s=15.0, first_token_s=8.0, between_tokens_s=5.0, total_s=30.0)
THINKING = Thinking(
    efforts=("low", "medium"), default="medium", tokens={"low": 1_000, "medium": 9_000}, source="a test"
)


def model(thinking: Thinking | None) -> Model:
    return load_catalogue().get("gpt-6.1-sol").model_copy(update={"capabilities": Capabilities(thinking=thinking)})


@pytest.mark.parametrize(("effort", "tokens"), [(None, 0), ("low", 0), ("medium", 8_000)])
def test_only_thinking_above_the_lowest_level_is_extra(effort: Effort | None, tokens: int) -> None:
    options = ChatOptions(reasoning_effort=effort)
    assert extra_thinking_tokens([model(None), model(THINKING)], options) == tokens


def added_s(text: int, thinking: int, longest_s: float = 120.0) -> tuple[float, float, float]:
    changed = with_extra_time(TIMEOUTS, text, thinking, longest_s)
    assert changed.between_tokens_s == TIMEOUTS.between_tokens_s
    return changed.attempt_s - 15.0, changed.first_token_s - 8.0, changed.total_s - 30.0


def test_a_request_within_the_defaults_has_their_timeouts() -> None:
    assert added_s(0, 0) == added_s(-200, 0) == (0.0, 0.0, 0.0)


def test_longer_text_has_more_time_after_its_first_token_and_thinking_before_it() -> None:
    assert added_s(4_000, 0) == (40.0, 0.0, 40.0)
    assert added_s(1_000, 3_000) == (40.0, 30.0, 40.0)


def test_the_added_time_is_bounded() -> None:
    assert added_s(30_000, 60_000, longest_s=60.0) == (60.0, 60.0, 60.0)
    assert added_s(30_000, 60_000, longest_s=0.0) == (0.0, 0.0, 0.0)
