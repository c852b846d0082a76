"""Every model has a price and a source, and a retired model is rejected with the name of its successor."""

from __future__ import annotations

import datetime as dt

import pytest

from routing.catalogue import load_catalogue
from routing.errors import ConfigurationError, RetiredModel, UnknownModel

DAY = dt.date(2026, 11, 24)
CATALOGUE = load_catalogue()


def model_row(name: str, extra: str = "", year: int = 2099) -> str:
    row = f'[[model]]\nname = "{name}"\nvendor = "v"\nservices = ["llm"]\ntier = "simple"\nsource = "s"\n'
    return f"{row}retires_on = {year}-01-01\n{extra}\n"


def prices(*names: str) -> str:
    row = '[[price]]\nmodel = "{}"\neffective_from = 2020-01-01\ninput_pico = 1\nsource = "s"\n'
    return "".join(row.format(name) for name in names)


def test_every_model_has_a_price_a_source_and_an_active_successor() -> None:
    for model in CATALOGUE.models.values():
        assert CATALOGUE.price(model.name, DAY).source and model.source
        if model.successor is not None:
            assert not CATALOGUE.get(model.successor).retired(DAY)


def test_a_retired_model_is_rejected_with_the_name_of_its_successor() -> None:
    with pytest.raises(ConfigurationError, match=r"retired on 2025-10-22; use its successor claude-sonnet-5-5"):
        CATALOGUE.check(["claude-3-5-sonnet"], DAY)


def test_a_warning_appears_sixty_days_before_a_model_retires() -> None:
    last_day = dt.date(2027, 1, 14)
    assert CATALOGUE.check(["gpt-4o"], last_day - dt.timedelta(days=61)) == []
    (warning,) = CATALOGUE.check(["gpt-4o"], last_day - dt.timedelta(days=60))
    assert "in 60 days" in warning and "gpt-6-luna" in warning
    with pytest.raises(ConfigurationError):
        CATALOGUE.check(["gpt-4o"], last_day)


def test_an_error_names_an_unknown_model() -> None:
    with pytest.raises(ConfigurationError, match=r"'gpt-9' is not in models\.toml"):
        CATALOGUE.check(["gpt-9"], DAY)
    with pytest.raises(UnknownModel, match="gpt-9"):
        CATALOGUE.get("gpt-9")


def test_a_cycle_of_successors_is_rejected() -> None:
    row = '[[model]]\nname = "{}"\nvendor = "v"\nservices = ["llm"]\ntier = "simple"\nsource = "s"\nsuccessor = "{}"\n'
    with pytest.raises(ConfigurationError, match="a -> b -> a"):
        load_catalogue(row.format("a", "b") + row.format("b", "a"))
    with pytest.raises(ConfigurationError, match="a names the successor c: no such row"):
        load_catalogue(row.format("a", "c"))


def test_the_error_for_a_retired_model_names_its_successor() -> None:
    with pytest.raises(RetiredModel, match=r"retired on 2025-10-22; use claude-sonnet-5-5\.") as excinfo:
        CATALOGUE.serving("claude-3-5-sonnet", DAY)
    assert (excinfo.value.status, excinfo.value.param) == (410, "model")
    assert excinfo.value.envelope()["error"] == {
        "message": excinfo.value.message,
        "type": "invalid_request_error",
        "code": "model_retired",
        "param": "model",
        "successor": "claude-sonnet-5-5",
    }
    assert CATALOGUE.serving("gpt-4o", DAY).name == "gpt-4o"


def test_the_replacement_of_a_retired_model_is_its_first_active_successor() -> None:
    years = {"a": 2020, "b": 2021, "c": 2099}
    models = "".join(
        model_row(name, f"successor = {successor!r}", years[name]) for name, successor in (("a", "b"), ("b", "c"))
    )
    catalogue = load_catalogue(models + model_row("c", "", years["c"]), prices("a", "b", "c"))
    successor = catalogue.heir(catalogue.get("a"), DAY)
    assert successor is not None and successor.name == "c"
    assert catalogue.heir(catalogue.get("c"), DAY) is None


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("a b", r"row 2 \(b\) has no price in prices\.toml"),
        ("a a", r"row 1 \(a\) has the name of another row"),
    ],
)
def test_a_row_without_a_price_or_with_a_taken_name_is_rejected(models: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_catalogue("".join(model_row(name) for name in models.split()), prices("a"))


def test_every_model_with_messages_has_limits_and_their_source() -> None:
    for model in CATALOGUE.models.values():
        if {"llm", "vision", "embeddings"} & set(model.services):
            assert model.context_tokens and model.limits_source, model.name
        if "llm" in model.services:
            assert "max_output_tokens" in model.model_fields_set, model.name


def test_every_model_that_talks_says_its_rules_and_their_source() -> None:
    for model in CATALOGUE.models.values():
        if "llm" in model.services:
            assert model.capabilities.options and model.capabilities.source != "the configuration", model.name
            assert model.image_tokens is not None, model.name
            thinking = model.capabilities.thinking
            assert thinking is None or thinking.source != "the configuration", model.name


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            '[model.capabilities]\noptions = ["tool"]',
            r"capabilities\.options: Value error, tool is no option; known are",
        ),
        (
            '[model.capabilities.thinking]\nefforts = ["low"]\ndefault = "high"\ntokens = {low = 1}\nsource = "s"',
            "efforts",
        ),
        ('[model.capabilities]\nimage_types = ["image/bmp"]', r"capabilities\.image_types"),
        ("image_tokens = {rule = 'squares'}", "image_tokens"),
    ],
)
def test_a_wrong_rule_is_named_at_start(wrong: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"row 1 \(a\): .*{said}"):
        load_catalogue(model_row("a", wrong), prices("a"))


def test_models_can_be_members_of_a_set() -> None:
    assert len({*CATALOGUE.models.values(), *load_catalogue().models.values()}) == len(CATALOGUE.models)
