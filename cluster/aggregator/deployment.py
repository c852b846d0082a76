"""Tell whether the running aggregator has the settings and the code of the newest deployment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cluster
import routing
from cluster.config.settings import BackendSettings, CostSettings
from routing.errors import ConfigurationError

SUPERSEDED_S = 600.0
"""Much longer than Serve takes to stop the routers of an older deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedVersion:
    """One `serve deploy`: its time, and the digest of all that the aggregator takes from it."""

    deployed_at_s: float
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorSettings:
    """The settings that the aggregator starts with."""

    costs: CostSettings
    backend: BackendSettings
    deployment: DeployedVersion


class SupersededDeployment(ConfigurationError):
    """A newer deployment's aggregator has taken over."""

    code = "superseded_deployment"


def aggregator_settings(
    costs: CostSettings, backend: BackendSettings, environment: Mapping[str, str], now_s: float
) -> AggregatorSettings:
    """Return the aggregator's settings of a deployment made now."""
    names = [backend.key_env, *([costs.alert_webhook.key_env] if costs.alert_webhook else [])]
    keys = [hashlib.sha256(environment.get(name, "").encode()).hexdigest() for name in names]
    parts = [costs.model_dump_json(), backend.model_dump_json(), *keys]
    fingerprint = hashlib.sha256("\n".join([*parts, code_digest()]).encode()).hexdigest()
    return AggregatorSettings(
        costs=costs, backend=backend, deployment=DeployedVersion(deployed_at_s=now_s, fingerprint=fingerprint)
    )


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the digest of the source files that the aggregator runs."""
    digest = hashlib.sha256()
    for package in (cluster, routing):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def newer(running: DeployedVersion, other: DeployedVersion) -> DeployedVersion | None:
    """Return the deployment that the running aggregator serves after a router of `other` came; None if it must end.

    It serves every older deployment, and newer ones that change nothing in it.
    """
    if other.deployed_at_s <= running.deployed_at_s:
        return running
    return other if other.fingerprint == running.fingerprint else None


def record_superseded(journal: Path, by: DeployedVersion, now_s: float) -> None:
    """Write beside the journal that `by` takes it over, so that a router of an older deployment cannot flip it back."""
    path = _superseded_path(journal)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"deployed_at_s": by.deployed_at_s, "superseded_at_s": now_s}), "ascii")
    os.replace(draft, path)


def refuse_superseded(journal: Path, deployment: DeployedVersion, now_s: float) -> None:
    """Raise SupersededDeployment if a newer deployment took the journal over within the last `SUPERSEDED_S`."""
    try:
        record = json.loads(_superseded_path(journal).read_text("ascii"))
        newest_s, age_s = float(record["deployed_at_s"]), now_s - float(record["superseded_at_s"])
    except (OSError, ValueError, LookupError, TypeError):
        return
    # A clock that was set back since makes the age negative: such a record says nothing.
    if deployment.deployed_at_s < newest_s and 0 <= age_s < SUPERSEDED_S:
        raise SupersededDeployment


def _superseded_path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}-deployment")
