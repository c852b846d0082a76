"""A stopping replica waits for the longest answer that its settings allow, and so does a replaced HAProxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve import Application

from cluster.app import build
from cluster.config.grace import cut_after_s, grace_s, longest_answer_s
from cluster.config.keys import ADMIN, AGENT, SECRET
from cluster.config.serve_env import DEREGISTRATION_S, HARD_STOP, HARD_STOP_S, SERVE_DEFAULTS
from cluster.config.settings import AppSettings, parse_settings

ROOT = Path(__file__).parents[4]
ARGS: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["applications"][0]["args"]


@pytest.fixture
def settings() -> AppSettings:
    return parse_settings(ARGS)


def test_the_router_waits_for_the_longest_chat_and_its_booking(settings: AppSettings) -> None:
    # The tenant, the reservation, the answer with the seconds that a long one may have, and the settlement.
    assert longest_answer_s(settings) == 5 + 10 + (60 + 120) + 10
    assert grace_s("router", settings) == DEREGISTRATION_S + longest_answer_s(settings)


def test_a_model_replica_waits_for_its_longest_attempt(settings: AppSettings) -> None:
    assert [grace_s(name, settings) for name in ("vision", "llm", "embeddings")] == [15 + 120 + 5, 45 + 120 + 5, 15]


def test_a_replaced_haproxy_of_the_shipped_settings_cuts_no_answer(settings: AppSettings) -> None:
    assert longest_answer_s(settings) < HARD_STOP_S
    assert cut_after_s(settings, SERVE_DEFAULTS) is None
    assert cut_after_s(settings, {}) is None


def test_settings_with_longer_answers_than_haproxy_has_time_for_are_noticed(settings: AppSettings) -> None:
    assert cut_after_s(settings, {HARD_STOP: "120"}) == 120


def test_each_deployment_gets_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: AppSettings) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (AGENT, ADMIN, SECRET):
        monkeypatch.setenv(name, "a value of more than thirty-two bytes")
    app = build(ARGS)
    leaves = [value for value in app._bound_deployment.init_args if isinstance(value, Application)]
    configs = {one._bound_deployment.name: one._bound_deployment._deployment_config for one in (app, *leaves)}
    assert {name: config.graceful_shutdown_timeout_s for name, config in configs.items()} == {
        "router": grace_s("router", settings),
        "vision": grace_s("vision", settings),
        "llm": grace_s("llm", settings),
        "embeddings": grace_s("embeddings", settings),
    }
