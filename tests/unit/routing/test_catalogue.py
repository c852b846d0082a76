"""The catalogue: every model has a price and a source, and one past its day is refused by its successor's name."""

from __future__ import annotations

import datetime as dt

import pytest

from routing.catalogue import FRAME_PX, estimate_ask, load_catalogue
from routing.errors import ConfigurationError, UnknownModel
from routing.messages import Ask, Message

DAY = dt.date(2026, 11, 24)
CATALOGUE = load_catalogue()


def test_every_model_has_a_price_a_source_and_a_living_successor() -> None:
    for model in CATALOGUE.models.values():
        assert CATALOGUE.price(model.name, DAY).source and model.source
        if model.successor is not None:
            assert not CATALOGUE.get(model.successor).retired(DAY)


def test_a_retired_model_is_refused_naming_its_successor() -> None:
    with pytest.raises(ConfigurationError, match=r"retired on 2025-10-22; use its successor claude-sonnet-5-5"):
        CATALOGUE.check(["claude-3-5-sonnet"], DAY)


def test_a_model_that_retires_soon_is_warned_of_sixty_days_ahead() -> None:
    last_day = dt.date(2027, 1, 14)
    assert CATALOGUE.check(["gpt-4o"], last_day - dt.timedelta(days=61)) == []
    (warning,) = CATALOGUE.check(["gpt-4o"], last_day - dt.timedelta(days=60))
    assert "in 60 days" in warning and "gpt-6.1-sol" in warning
    with pytest.raises(ConfigurationError):
        CATALOGUE.check(["gpt-4o"], last_day)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"'gpt-9' is not in models\.toml"):
        CATALOGUE.check(["gpt-9"], DAY)
    with pytest.raises(UnknownModel, match="gpt-9"):
        CATALOGUE.get("gpt-9")


def test_successors_that_form_a_cycle_are_refused() -> None:
    row = '[[model]]\nname = "{}"\nvendor = "v"\nservices = ["llm"]\ntier = "simple"\nsource = "s"\nsuccessor = "{}"\n'
    with pytest.raises(ConfigurationError, match="a -> b -> a"):
        load_catalogue(row.format("a", "b") + row.format("b", "a"))
    with pytest.raises(ConfigurationError, match="a names the successor c: no such row"):
        load_catalogue(row.format("a", "c"))


def test_an_estimate_is_the_most_an_ask_should_use() -> None:
    model = CATALOGUE.get("claude-sonnet-5-5")
    ask = Ask(model=model.name, messages=(Message(role="user", text="a" * 300, images=(b"x",)),), max_output_tokens=150)
    estimate = estimate_ask(model, ask)
    assert estimate.output_tokens == 150
    assert estimate.image_tokens == -(-FRAME_PX // 750)
    assert estimate.input_tokens >= 100 + estimate.image_tokens
