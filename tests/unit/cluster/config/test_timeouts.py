"""The timeouts of the shipped configuration nest, and settings that do not are refused by their key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.config import timeouts
from cluster.config.settings import parse_settings
from cluster.config.timeouts import check_timeouts, nested_timeouts
from cluster.rooms.registry import SILENT_S
from deployments.handles import GRACE_S
from deployments.providers.timeouts import CONNECT_TIMEOUT_S
from room_agent.conversation.llm import FIRST_TOKEN_TIMEOUT_S, NEXT_TOKEN_TIMEOUT_S
from room_agent.core.router_client import FRAME_TIMEOUT_S, OPEN_TIMEOUT_S
from routing.errors import ConfigurationError

ROOT = Path(__file__).parents[4]
ARGS = yaml.safe_load((ROOT / "serve_config.yaml").read_text("utf-8"))["applications"][0]["args"]


def changed(section: str, key: str, value: object) -> dict[str, Any]:
    args: dict[str, Any] = copy.deepcopy(ARGS)
    args.setdefault(section, {})[key] = value
    return args


def test_every_timeout_of_the_shipped_configuration_is_shorter_than_the_one_around_it() -> None:
    pairs = list(nested_timeouts(parse_settings(ARGS)))
    assert len(pairs) >= 20 and [pair.problem() for pair in pairs if not pair.holds] == []


def test_the_copied_constants_are_those_of_the_router_and_the_agent() -> None:
    assert (timeouts.CONNECT_S, timeouts.HANDLE_GRACE_S) == (CONNECT_TIMEOUT_S, GRACE_S)
    assert (timeouts.AGENT_FRAME_S, timeouts.AGENT_OPEN_S) == (FRAME_TIMEOUT_S, OPEN_TIMEOUT_S)
    assert (timeouts.AGENT_FIRST_TOKEN_S, timeouts.AGENT_NEXT_TOKEN_S) == (FIRST_TOKEN_TIMEOUT_S, NEXT_TOKEN_TIMEOUT_S)
    assert timeouts.SILENT_ROOM_S == SILENT_S


@pytest.mark.parametrize(
    ("section", "key", "value", "named"),
    [
        ("vision", "attempt_timeout_s", 30, "args.vision.attempt_timeout_s"),
        ("vision", "first_token_timeout_s", {"simple": 20}, "args.vision.first_token_timeout_s.simple"),
        ("vision", "total_timeout_s", 50, "args.vision.total_timeout_s"),
        ("llm", "between_tokens_timeout_s", 46, "args.llm.between_tokens_timeout_s"),
        ("llm", "first_token_timeout_s", {"complex": 12}, "args.llm.first_token_timeout_s.complex"),
        ("llm", "first_token_timeout_s", {"simple": 2}, "the connection to a vendor"),
        ("embeddings", "total_timeout_s", 10, "args.embeddings.attempt_timeout_s"),
        ("knowledge", "timeout_s", 15, "args.knowledge.timeout_s"),
        ("costs", "timeout_s", 60, "args.costs.timeout_s"),
        ("backend", "timeout_s", 20, "args.backend.timeout_s"),
        ("backend", "tenant_ttl_s", 900, "args.backend.tenant_ttl_s"),
        ("rooms", "token_longest_life_s", 60, "args.rooms.token_ttl_s"),
    ],
)
def test_a_timeout_that_does_not_nest_is_refused_at_start_by_its_key(
    section: str, key: str, value: object, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named.replace(".", r"\.")):
        check_timeouts(parse_settings(changed(section, key, value)))


def test_the_table_of_the_operations_guide_has_each_pair_with_its_seconds() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text("utf-8")
    _, _, table = guide.partition("## Timeouts")
    missing = [
        pair
        for pair in nested_timeouts(parse_settings(ARGS))
        if f"| {pair.inner} | {pair.inner_s:g} | {pair.outer} | {pair.outer_s:g} |" not in table
    ]
    assert missing == []
