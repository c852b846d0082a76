"""compose.yaml names files, services and variables that exist, and keeps Ray's ports to Ray."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.config.grace import grace_s
from cluster.config.validate import check_file

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "compose.yaml").read_text("utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
PARTS = {"livekit", "backend", "ray-head", "ray-worker", "deploy", "dispatch", "agent", "prometheus", "grafana"}
RAY = {"ray-head", "ray-worker", "deploy"}


def test_every_part_of_the_system_is_a_service() -> None:
    assert set(SERVICES) == PARTS


def test_every_variable_is_in_the_example_of_the_environment() -> None:
    listed = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT)) <= listed


def test_every_secret_is_a_reference_that_must_be_set_or_may_be_empty() -> None:
    for name, value in re.findall(r"^ +([A-Z0-9_]*(?:KEYS?|SECRET|TOKEN|PASSWORD)): *(\S.*)$", TEXT, re.MULTILINE):
        assert re.fullmatch(r'"?\$\{\w+(:\?[^}]+|:-)\}"?', value), name


def test_every_mounted_file_exists() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts]
    assert all((ROOT / source).exists() for source in sources if source.startswith("./"))
    assert {source for source in sources if not source.startswith("./")} == set(DOCUMENT["volumes"])


def test_the_journal_and_the_speech_usage_outlive_their_containers() -> None:
    assert SERVICES["ray-head"]["volumes"] == ["journal:/app/.rayroom"]
    assert SERVICES["agent"]["volumes"] == ["speech:/app/.rayroom"]


def test_only_rays_nodes_their_backend_and_the_monitoring_are_in_rays_network() -> None:
    inside = {name for name, service in SERVICES.items() if "ray" in service["networks"]}
    assert inside == RAY | {"backend", "prometheus", "grafana"}
    # Of Ray's machines, the API alone is published.
    assert SERVICES["ray-head"]["ports"] == ["8000:8000"] and "ports" not in SERVICES["ray-worker"]
    assert all(SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token" for name in RAY)


def test_a_stopped_node_has_the_time_for_its_longest_answer() -> None:
    needed_s = grace_s("router", check_file(ROOT / "serve_config.yaml"))
    worker = SERVICES["ray-worker"]
    assert int(worker["environment"]["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) >= needed_s
    assert worker["stop_grace_period"] == "4m" and needed_s < 240


def test_the_deployed_configuration_is_valid_and_names_the_backend(tmp_path: Path) -> None:
    (script,) = [part for part in SERVICES["deploy"]["command"] if part.startswith("sed")]
    found = re.match(r"sed 's\|(.*?)\|(.*?)\|'", script)
    assert found is not None
    # Compose reads `$$` as one `$`.
    changed = re.sub(
        found[1].replace("$$", "$"), found[2], (ROOT / "serve_config.yaml").read_text(), flags=re.MULTILINE
    )
    file = tmp_path / "serve_config.yaml"
    file.write_text(changed)
    assert check_file(file).backend.url == "http://backend:4000"


@pytest.mark.parametrize("job", ["ray", "dispatch"])
def test_prometheus_scrapes_services_that_exist(job: str) -> None:
    scrapes = yaml.safe_load((ROOT / "compose/prometheus.yaml").read_text())["scrape_configs"]
    (scrape,) = [one for one in scrapes if one["job_name"] == job]
    names = [name for one in scrape.get("dns_sd_configs", []) for name in one["names"]]
    names += [target.split(":")[0] for one in scrape.get("static_configs", []) for target in one["targets"]]
    assert names and set(names) <= PARTS
