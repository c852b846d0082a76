"""The models of serve_config.yaml are served, in order of their cost, and leave no common request unanswered."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from cluster.config.validate import check_file
from deployments.common.settings import ServiceSettings
from deployments.providers.simulated import load_profiles
from routing.chat import ChatOptions, Message, ResponseFormat, Tool, ToolChoice
from routing.models import Tier
from routing.policy import Decision, within_capabilities
from tests.benchmarks.answer_costs import model_costs

APP = check_file(Path(__file__).parents[4] / "serve_config.yaml")
CATALOGUE = APP.catalogue()
DAY = dt.date(2026, 11, 30)
HELLO = (Message(role="user", content=("hello",)),)
TOOLS = (Tool(name="weather"),)
LISTS = pytest.mark.parametrize(
    ("settings", "tier"), [(settings, tier) for settings in (APP.vision, APP.llm) for tier in Tier]
)


@LISTS
def test_a_list_is_ordered_by_the_most_that_an_answer_can_cost(settings: ServiceSettings, tier: Tier) -> None:
    # After the announced change of a price.
    day = dt.date(2027, 1, 2)
    costs = [model_costs(CATALOGUE, CATALOGUE.get(name), day) for name in settings.models_of()[tier]]
    kind = "frame" if settings is APP.vision else "turn"
    most = [getattr(one, kind).most_nanousd for one in costs]
    assert most == sorted(most)


@LISTS
def test_the_models_of_one_request_are_of_two_vendors(settings: ServiceSettings, tier: Tier) -> None:
    names = settings.models_of()[tier][: settings.targets]
    assert len({CATALOGUE.get(name).vendor for name in names}) == settings.targets == 2


@LISTS
def test_no_shipped_model_retires_soon_or_has_an_unknown_latency(settings: ServiceSettings, tier: Tier) -> None:
    assert CATALOGUE.check(settings.models_of()[tier], DAY) == []
    assert set(settings.models_of()[tier]) <= set(load_profiles())


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize(
    "options",
    [
        ChatOptions(tools=TOOLS, parallel_tool_calls=True),
        ChatOptions(tools=TOOLS, tool_choice=ToolChoice(mode="required")),
        ChatOptions(response_format=ResponseFormat(type="json_schema", schema={}, strict=True)),
        ChatOptions(response_format=ResponseFormat(type="json_object")),
        ChatOptions(stop=("\nObservation",)),
        ChatOptions(temperature=0.2),
        ChatOptions(temperature=1.0, top_p=1.0, frequency_penalty=0, presence_penalty=0),
        ChatOptions(seed=7),
        ChatOptions(reasoning_effort="low"),
        ChatOptions(reasoning_effort="high"),
        ChatOptions(verbosity="low"),
        ChatOptions(service_tier="priority"),
    ],
    ids=lambda options: "+".join(options.given),
)
def test_a_request_with_a_common_option_is_answered_by_each_tier(options: ChatOptions, tier: Tier) -> None:
    decision = Decision(tier=tier, targets=APP.llm.models_of()[tier], score=0, threshold=0.5, reasons=())
    assert within_capabilities(decision, CATALOGUE, options, HELLO).targets
