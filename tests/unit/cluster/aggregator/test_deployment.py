"""The newest deployment's aggregator runs, and no router of an older one flips it back."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.aggregator.deployment import (
    SUPERSEDED_S,
    AggregatorSettings,
    DeployedVersion,
    SupersededDeployment,
    aggregator_settings,
    newer,
    record_superseded,
    refuse_superseded,
)
from cluster.config.settings import BackendSettings, CostSettings, WebhookSettings

KEY = {"RAYROOM_BACKEND_KEY": "k1"}
OLD = DeployedVersion(deployed_at_s=100.0, fingerprint="a")
NEW = DeployedVersion(deployed_at_s=200.0, fingerprint="b")


def settings(
    costs: CostSettings | None = None, backend: BackendSettings | None = None, environment: dict[str, str] | None = None
) -> AggregatorSettings:
    return aggregator_settings(costs or CostSettings(), backend or BackendSettings(), environment or KEY, now_s=100.0)


@pytest.mark.parametrize(
    "changed",
    [
        settings(costs=CostSettings(flush_every_s=3)),
        settings(backend=BackendSettings(url="https://backend.example")),
        settings(backend=BackendSettings(transformer="plain")),
        settings(environment={"RAYROOM_BACKEND_KEY": "k2"}),
        settings(costs=CostSettings(alert_webhook=WebhookSettings(url="https://hook.example"))),
    ],
    ids=["costs", "url", "transformer", "key", "webhook"],
)
def test_every_setting_of_the_aggregator_changes_its_fingerprint(changed: AggregatorSettings) -> None:
    assert changed.deployment.fingerprint != settings().deployment.fingerprint
    assert settings().deployment == settings().deployment


def test_a_new_key_of_the_webhook_changes_the_fingerprint() -> None:
    costs = CostSettings(alert_webhook=WebhookSettings(url="https://hook.example"))
    before, after = (settings(costs=costs, environment=KEY | {"RAYROOM_WEBHOOK_KEY": key}) for key in ("w1", "w2"))
    assert before.deployment.fingerprint != after.deployment.fingerprint


def test_the_key_is_in_no_text_of_the_settings() -> None:
    found = settings(environment={"RAYROOM_BACKEND_KEY": "sk-secret"})
    assert "sk-secret" not in repr(found)
    assert re.fullmatch("[0-9a-f]{64}", found.deployment.fingerprint)


def test_a_newer_deployment_replaces_the_aggregator_only_if_it_changes_something() -> None:
    assert newer(running=OLD, other=NEW) is None
    unchanged = replace(NEW, fingerprint=OLD.fingerprint)
    assert newer(running=OLD, other=unchanged) == unchanged


def test_an_older_deployments_router_is_served() -> None:
    assert newer(running=NEW, other=OLD) == NEW


def test_an_older_deployments_aggregator_does_not_start_after_it_was_superseded(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    refuse_superseded(journal, OLD, 300.0)
    record_superseded(journal, NEW, 300.0)
    with pytest.raises(SupersededDeployment, match="newer deployment"):
        refuse_superseded(journal, OLD, 301.0)
    refuse_superseded(journal, NEW, 301.0)


def test_a_record_of_long_ago_and_one_of_the_future_stop_no_aggregator(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    record_superseded(journal, NEW, 300.0)
    refuse_superseded(journal, OLD, 300.0 + SUPERSEDED_S)
    refuse_superseded(journal, OLD, 299.0)
    (tmp_path / "journal.db-deployment").write_text("[]")
    refuse_superseded(journal, OLD, 301.0)
