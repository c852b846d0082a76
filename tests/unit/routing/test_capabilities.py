"""A model gets the options it accepts; a refused one is an error that names it, or is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from routing.capabilities import (
    Capabilities,
    FixedTokens,
    ImageTokens,
    accepted_options,
    accepts_messages,
    effort_of,
    needs_responses,
    refused_options,
    thinking_tokens,
)
from routing.catalogue import load_catalogue
from routing.chat import ChatOptions, Detail, Effort, Message, ResponseFormat, Tool, ToolChoice
from routing.errors import UnsupportedOption

CATALOGUE = load_catalogue()
OWN = Capabilities()
TOOLS = (Tool(name="weather"),)
EVERYTHING = ChatOptions(
    tools=TOOLS,
    tool_choice=ToolChoice(mode="required"),
    temperature=0.2,
    stop=("x",),
    logit_bias={"1": 5.0},
    reasoning_effort="xhigh",
    service_tier="flex",
    response_format=ResponseFormat(type="json_object"),
)


def rules(model: str) -> Capabilities:
    return CATALOGUE.get(model).capabilities


@pytest.mark.parametrize(
    ("model", "wanted", "effort", "room"),
    [
        ("gpt-6-luna", None, "none", 0),
        ("gpt-6-luna", "high", "high", 24_576),
        ("gpt-6.1-sol", None, "low", 1_024),
        # A level that the model refuses has been refused before; what remains is the lowest.
        ("gpt-6.1-sol", "none", "low", 1_024),
        ("claude-sonnet-5-5", None, "none", 0),
        ("claude-opus-5-5", None, "low", 1_024),
        ("gemini-3.5-flash-lite", None, "minimal", 512),
        ("gpt-4o", None, None, 0),
        ("gpt-4o", "none", None, 0),
    ],
)
def test_a_model_thinks_as_much_as_the_caller_wants_else_as_little_as_it_can(
    model: str, wanted: Effort | None, effort: Effort | None, room: int
) -> None:
    assert effort_of(rules(model), ChatOptions(reasoning_effort=wanted)) == effort
    assert thinking_tokens(rules(model), effort) == room


def test_an_own_server_gets_every_option_as_it_came() -> None:
    assert refused_options(OWN, EVERYTHING) == ()
    assert accepted_options("own", OWN, EVERYTHING, drop=False) == EVERYTHING
    assert effort_of(OWN, EVERYTHING) == "xhigh" and thinking_tokens(OWN, "xhigh") == 0
    assert effort_of(OWN, ChatOptions()) is None


@pytest.mark.parametrize(
    ("model", "options", "refused"),
    [
        ("claude-sonnet-5-5", ChatOptions(temperature=0.2), "temperature"),
        ("claude-sonnet-5-5", ChatOptions(tools=TOOLS, tool_choice=ToolChoice(mode="required")), "tool_choice"),
        ("claude-sonnet-5-5", ChatOptions(response_format=ResponseFormat(type="json_object")), "response_format"),
        ("claude-sonnet-5-5", ChatOptions(service_tier="priority"), "service_tier"),
        ("gemini-3.5-flash-lite", ChatOptions(reasoning_effort="none"), "reasoning_effort"),
        ("gemini-3.5-flash-lite", ChatOptions(parallel_tool_calls=False), "parallel_tool_calls"),
        ("gpt-4o", ChatOptions(reasoning_effort="low"), "reasoning_effort"),
        ("gpt-6-luna", ChatOptions(stop=("x",)), "stop"),
        ("gpt-6-luna", ChatOptions(temperature=0.2, reasoning_effort="low"), "temperature"),
        ("gpt-6-luna", ChatOptions(tools=TOOLS, reasoning_effort="low", seed=1), "seed"),
        ("gpt-6.1-terra", ChatOptions(tools=TOOLS, logprobs=True), "logprobs"),
        ("gpt-6.1-sol", ChatOptions(reasoning_effort="max", seed=1), "seed"),
        ("gpt-6.1-sol", ChatOptions(temperature=0.2), "temperature"),
    ],
)
def test_a_refused_option_is_an_error_with_the_model_and_the_parameter(
    model: str, options: ChatOptions, refused: str
) -> None:
    assert refused_options(rules(model), options) == (refused,)
    with pytest.raises(UnsupportedOption, match=rf"{model} does not support {refused}") as error:
        accepted_options(model, rules(model), options, drop=False)
    assert (error.value.status, error.value.param) == (400, refused)
    assert refused not in accepted_options(model, rules(model), options, drop=True).given


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("claude-haiku-5-5", ChatOptions(tools=TOOLS, tool_choice=ToolChoice(mode="function", name="weather"))),
        ("claude-haiku-5-5", ChatOptions(stop=("x",), parallel_tool_calls=False)),
        ("gpt-6-luna", ChatOptions(tools=TOOLS, temperature=0.2, verbosity="low", service_tier="flex")),
        ("gpt-6-luna", ChatOptions(tools=TOOLS, reasoning_effort="none", seed=1)),
        ("gpt-6-luna", ChatOptions(tools=TOOLS, reasoning_effort="low")),
        ("gpt-6.1-terra", ChatOptions(tools=TOOLS, temperature=0.2)),
        ("gpt-6.1-sol", ChatOptions(tools=TOOLS, parallel_tool_calls=False)),
        ("gpt-6.1-sol", ChatOptions(reasoning_effort="xhigh", response_format=ResponseFormat(type="json_schema"))),
        ("gemini-3.8-flash", ChatOptions(stop=("x",), seed=1, reasoning_effort="low")),
    ],
)
def test_an_accepted_option_stays(model: str, options: ChatOptions) -> None:
    assert accepted_options(model, rules(model), options, drop=False) == options


def test_an_option_with_openais_default_value_is_left_out_and_no_error() -> None:
    options = ChatOptions(
        temperature=1,
        top_p=1.0,
        frequency_penalty=0,
        logprobs=False,
        parallel_tool_calls=True,
        service_tier="auto",
        logit_bias={},
        stop=("x",),
    )
    assert accepted_options("m", rules("claude-haiku-5-5"), options, drop=False).given == (
        "parallel_tool_calls",
        "stop",
    )
    assert refused_options(rules("claude-haiku-5-5"), options) == ()


def test_what_tools_exclude_is_named_together_with_them() -> None:
    with pytest.raises(UnsupportedOption, match="seed together with tools"):
        accepted_options("m", rules("gpt-6.1-sol"), ChatOptions(tools=TOOLS, seed=1), drop=False)


@pytest.mark.parametrize(
    ("model", "options", "effort", "needed"),
    [
        ("gpt-6-luna", ChatOptions(tools=TOOLS), "none", False),
        ("gpt-6-luna", ChatOptions(tools=TOOLS), "low", True),
        ("gpt-6-luna", ChatOptions(), "high", False),
        ("gpt-6-luna", ChatOptions(), "max", True),
        ("gpt-6.1-terra", ChatOptions(tools=TOOLS), "none", True),
        ("gpt-6.1-sol", ChatOptions(), "low", False),
        ("gpt-4o", ChatOptions(tools=TOOLS), None, False),
        ("claude-haiku-5-5", ChatOptions(tools=TOOLS), "max", False),
    ],
)
def test_openais_responses_api_is_for_what_its_chat_completions_refuse(
    model: str, options: ChatOptions, effort: Effort | None, needed: bool
) -> None:
    assert needs_responses(rules(model), options, effort) is needed


@pytest.mark.parametrize(
    ("model", "accepted"), [("claude-sonnet-5-5", False), ("gemini-3.5-flash-lite", False), ("gemini-2.5-flash", True)]
)
def test_a_prefill_is_accepted_or_not(model: str, accepted: bool) -> None:
    question, prefill = Message(role="user", content=("hi",)), Message(role="assistant", content=("{",))
    assert accepts_messages(rules(model), (question, prefill)) is accepted
    assert accepts_messages(rules(model), (prefill, question)) and accepts_messages(rules(model), ())


PATCHES = {"rule": "patches", "patch_px": 28, "longest_side_px": 2_576, "most_patches": 4_784}
TILES = {"rule": "tiles", "base": 85, "tile": 170}
LEVELS = {"rule": "fixed", "tokens": 1_120, "low": 280}


@pytest.mark.parametrize(
    ("rule", "width_px", "height_px", "detail", "tokens"),
    [
        (258, 4_000, 3_000, "auto", 258),
        (LEVELS, 1_920, 1_080, "low", 280),
        # As dense as a frame of 1024 x 576 at 1,120, or denser.
        (LEVELS, 700, 200, "auto", 280),
        (LEVELS, 700, 201, "auto", 1_120),
        (LEVELS, 700, 200, "high", 1_120),
        ({"rule": "fixed", "tokens": 1_120}, 10, 10, "low", 1_120),
        # Measured: 1,369 for 1024 x 1024, 2,691 for 1920 x 1080.
        (PATCHES, 1_024, 1_024, "auto", 37 * 37),
        (PATCHES, 1_920, 1_080, "low", 2_691),
        (PATCHES, 20_000, 2_800, "auto", 92 * 13),
        (PATCHES, 9_000, 9_000, "auto", 4_784),
        ({"rule": "patches", "patch_px": 32, "percent": 120}, 1_024, 1_024, "auto", 1_229),
        ({"rule": "patches", "patch_px": 32, "percent": 120}, 1, 1, "auto", 2),
        # OpenAI's own examples: 1024 x 1024 is 765, 2048 x 4096 is 1,105.
        (TILES, 1_024, 1_024, "high", 765),
        (TILES, 2_048, 4_096, "high", 1_105),
        (TILES, 2_048, 4_096, "low", 85),
    ],
)
def test_an_image_is_counted_by_the_vendors_rule(
    rule: int | Mapping[str, Any], width_px: int, height_px: int, detail: Detail, tokens: int
) -> None:
    parsed: ImageTokens = TypeAdapter(ImageTokens).validate_python(rule)
    assert parsed.count(width_px, height_px, detail) == tokens


def test_a_number_is_short_for_the_same_tokens_for_every_image() -> None:
    assert TypeAdapter(ImageTokens).validate_python(258) == FixedTokens(tokens=258)
