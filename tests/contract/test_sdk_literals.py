"""Every level, tier and option that the catalogue names is one that the vendor's SDK accepts."""

from __future__ import annotations

import inspect
from typing import Any, get_args, get_type_hints

import pytest
from anthropic.types import OutputConfigParam, ThinkingConfigParam
from anthropic.types.model_param import ModelParam
from google.genai.types import GenerateContentConfig, ServiceTier, ThinkingLevel
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import completion_create_params
from openai.types.shared.reasoning_effort import ReasoningEffort

from routing.catalogue import Model, load_catalogue
from routing.chat import ChatOptions, Effort

MODELS = [model for model in load_catalogue().models.values() if "llm" in model.services]


def literals(annotation: Any) -> set[str]:
    """Return the strings of all literals within a type."""
    inner = get_args(annotation)
    return {annotation} if isinstance(annotation, str) else set().union(*map(literals, inner)) if inner else set()


def of_vendor(vendor: str) -> list[Model]:
    return [model for model in MODELS if model.vendor == vendor]


def efforts(vendor: str) -> set[str]:
    thinking = [model.capabilities.thinking for model in of_vendor(vendor)]
    return {effort for one in thinking if one is not None for effort in one.efforts}


def test_our_efforts_are_those_of_openais_sdk() -> None:
    assert set(get_args(Effort)) == literals(ReasoningEffort)


def test_an_option_has_the_name_of_openais_parameter() -> None:
    parameters = set(inspect.signature(AsyncCompletions.create).parameters)
    assert {name for name in ChatOptions.__dataclass_fields__} <= parameters


def test_claudes_efforts_and_thinking_types_are_those_of_anthropics_sdk() -> None:
    levels = literals(get_type_hints(OutputConfigParam)["effort"])
    assert efforts("anthropic") - {"none"} == levels
    types = {name for kind in get_args(ThinkingConfigParam) for name in literals(get_type_hints(kind)["type"])}
    off = {model.capabilities.thinking.off for model in of_vendor("anthropic") if model.capabilities.thinking}
    assert off == {"disabled", "between_tools"} <= types


def test_geminis_levels_are_those_of_googles_sdk() -> None:
    levels = {level.value.lower() for level in ThinkingLevel}
    for model in of_vendor("gemini"):
        thinking = model.capabilities.thinking
        assert thinking is not None
        assert thinking.unit == "tokens" or set(thinking.efforts) <= levels, model.name


@pytest.mark.parametrize("name", ["temperature", "top_p", "stop_sequences", "seed", "response_json_schema"])
def test_geminis_options_are_fields_of_googles_sdk(name: str) -> None:
    assert name in GenerateContentConfig.model_fields


def test_service_tiers_are_those_of_the_sdks() -> None:
    openai_tiers = literals(get_type_hints(completion_create_params.CompletionCreateParamsBase)["service_tier"])
    google_tiers = {tier.value for tier in ServiceTier}
    for model in MODELS:
        known = {"openai": openai_tiers, "gemini": google_tiers}.get(model.vendor, set())
        assert set(model.capabilities.service_tiers) <= known, model.name


def test_every_claude_that_is_served_is_a_model_of_anthropics_sdk() -> None:
    assert {model.name for model in of_vendor("anthropic") if model.retires_on is None} <= literals(ModelParam)
