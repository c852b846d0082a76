"""Every model has a price and a source, and a retired model is rejected with the name of its successor."""

from __future__ import annotations

import datetime as dt

import pytest

from routing.catalogue import FRAME_PX, check_fits, estimate_chat, load_catalogue
from routing.chat import Image, Message
from routing.errors import BadInput, ConfigurationError, RetiredModel, TooLarge, UnknownModel
from routing.models import ModelRequest

DAY = dt.date(2026, 11, 24)
CATALOGUE = load_catalogue()
HELLO = (Message(role="user", content=("hello",)),)


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
    assert "in 60 days" in warning and "gpt-6.1-sol" in warning
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


def test_a_request_for_more_output_than_the_models_limit_is_rejected() -> None:
    model = CATALOGUE.get("gpt-4o")
    check_fits(model, HELLO, 16_384)
    with pytest.raises(BadInput, match="gpt-4o answers with at most 16384 tokens") as excinfo:
        check_fits(model, HELLO, 16_385)
    assert (excinfo.value.status, excinfo.value.param) == (422, "max_tokens")


def test_messages_longer_than_the_context_are_rejected() -> None:
    model, messages = CATALOGUE.get("gpt-4o"), (Message(role="user", content=("word " * 200_000,)),)
    with pytest.raises(TooLarge, match="at least 200000 tokens long") as excinfo:
        check_fits(model, messages, 300)
    assert (excinfo.value.status, excinfo.value.param) == (413, "messages")
    check_fits(CATALOGUE.get("gpt-6-luna"), messages, 300)
    with pytest.raises(TooLarge, match="takes at most 100000 here"):
        check_fits(CATALOGUE.get("gpt-6-luna"), messages, 300, longest_input_tokens=100_000)


def test_output_tokens_and_images_count_towards_the_context() -> None:
    model = CATALOGUE.get("gpt-4o")
    messages = (Message(role="user", content=("word " * 120_000,)),)
    check_fits(model, messages, 8_000)
    with pytest.raises(TooLarge):
        check_fits(model, messages, 8_001)
    messages_with_images = (Message(role="user", content=("word " * 120_000, *(Image(data=b"x"),) * 10)),)
    with pytest.raises(TooLarge):
        check_fits(model, messages_with_images, 1_000)


def test_an_estimate_covers_the_maximum_usage_of_a_request() -> None:
    model = CATALOGUE.get("claude-sonnet-5-5")
    request = ModelRequest(
        model=model.name, messages=(Message(role="user", content=("a" * 300, Image(data=b"x"))),), max_output_tokens=150
    )
    estimate = estimate_chat(model, request)
    assert estimate.output_tokens == 150
    assert estimate.image_tokens == -(-FRAME_PX // 750)
    assert estimate.input_tokens >= 100 + estimate.image_tokens
