"""Override single keys of an experiment, given by `--set`, `--policy` and `--sweep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml
from pydantic import ValidationError

from cluster.aggregator.autoscaling_policy import imported_policy
from cluster.config.settings import ScalingSettings, explain
from cluster.lab.scenario.scenario import Scenario
from cluster.lab.simulator.assumptions import Assumptions
from cluster.lab.simulator.experiment import Experiment
from routing.errors import ConfigurationError

SCALED_DEPLOYMENTS = ("vision", "llm")
"""The deployments that a key of `scaling` without a deployment applies to: those whose replicas call the vendors."""
POLICIES = ("ray", "rooms-ahead")
MODEL = "model."


def overridden(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Return the experiment with these keys replaced; raises ConfigurationError naming the invalid key."""
    document, assumptions = experiment.scenario.model_dump(mode="json"), experiment.assumptions.model_dump()
    for key, value in changes.items():
        if key.startswith(MODEL):
            assumptions[key.removeprefix(MODEL)] = value
            continue
        for path in paths_of(key):
            _put(document, key, path, value)
    return replace(
        experiment,
        scenario=_checked(Scenario, document, "scenario"),
        assumptions=_checked(Assumptions, assumptions, "model"),
    )


def with_policy(experiment: Experiment, policy: str) -> Experiment:
    """Return the experiment under another policy: `ray`, `rooms-ahead` or a path; raises ConfigurationError."""
    if policy not in POLICIES:
        if ":" not in policy:
            raise ConfigurationError(f"policy: {policy} is none of {', '.join(POLICIES)}, nor a module:attribute.")
        imported_policy(policy)
    return overridden(experiment, {f"scaling.{name}.policy": policy for name in ("router", *SCALED_DEPLOYMENTS)})


def paths_of(key: str) -> list[list[str]]:
    """Return the paths of a key; a key of a deployment without its name has one path for each scaled deployment."""
    if key in ScalingSettings.model_fields:
        return [["scaling", name, key] for name in SCALED_DEPLOYMENTS]
    return [key.split(".")]


def parse_assignments(assignments: Sequence[str], option: str) -> dict[str, str]:
    """Parse `key=value` pairs; raises ConfigurationError for a malformed one."""
    pairs = {}
    for assignment in assignments:
        key, sign, value = assignment.partition("=")
        if not sign or not key.strip() or not value.strip():
            raise ConfigurationError(f"{option} {assignment}: must be KEY=VALUE.", option)
        pairs[key.strip()] = value.strip()
    return pairs


def parse_value(text: str) -> Any:
    """Return a value as YAML parses it."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigurationError(f"{text}: is not a value that YAML can read.") from None


def _put(document: dict[str, Any], key: str, path: Sequence[str], value: Any) -> None:
    *parents, last = path
    section: Any = document
    for step in parents:
        section = section.get(step) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        scaling_keys = ", ".join(sorted(ScalingSettings.model_fields))
        raise ConfigurationError(
            f"{key}: a scenario has no such key. A path such as arrivals.rooms, scaling.vision.max_replicas or"
            f" model.own_ms is allowed, or one of: {scaling_keys}.",
            key,
        )
    section[last] = value


def _checked(kind: Any, document: dict[str, Any], root: str) -> Any:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError("\n".join(explain(error, root, kind)), root) from None
