"""The manifests deploy a valid configuration, keep secrets and Ray's ports closed, and give answers time to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.config.grace import grace_s
from cluster.config.settings import AppSettings
from cluster.config.validate import check_file
from tests.support.dockerfile import parse
from tests.support.manifests import MANIFESTS, Resource, containers, pod_templates, rendered

ROOT = Path(__file__).parents[3]
BASE = rendered(MANIFESTS / "base")
PRODUCTION = rendered(MANIFESTS / "overlays" / "production")
WORKLOADS = [resource for resource in BASE if pod_templates(resource)]


def one(kind: str, name: str) -> Resource:
    (found,) = [one for one in BASE if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> AppSettings:
    file = tmp_path_factory.mktemp("served") / "serve_config.yaml"
    file.write_text(one("RayService", "rayroom")["spec"]["serveConfigV2"])
    return check_file(file)


def test_the_served_configuration_is_valid_and_has_the_shipped_models(served: AppSettings) -> None:
    shipped = check_file(ROOT / "serve_config.yaml")
    for part in ("vision", "llm", "embeddings"):
        assert getattr(served, part) == getattr(shipped, part)
    assert set(served.vendors) == set(shipped.vendors)
    assert not [name for name, vendor in served.vendors.items() if vendor.simulated]


def test_the_api_and_the_fast_path_answer_the_pods_network() -> None:
    document = yaml.safe_load(one("RayService", "rayroom")["spec"]["serveConfigV2"])
    assert document["http_options"] == {"host": "0.0.0.0", "port": 8000}
    assert document["proxy_location"] == "EveryNode"


def test_no_second_cluster_is_started_beside_the_first() -> None:
    assert one("RayService", "rayroom")["spec"]["upgradeStrategy"] == {"type": "None"}
    assert one("PersistentVolumeClaim", "rayroom-journal")["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_the_heads_journal_is_on_its_volume() -> None:
    head, _ = pod_templates(one("RayService", "rayroom"))
    assert head["spec"]["containers"][0]["volumeMounts"] == [{"name": "journal", "mountPath": "/app/.rayroom"}]
    assert head["spec"]["volumes"] == [{"name": "journal", "persistentVolumeClaim": {"claimName": "rayroom-journal"}}]


def test_rays_token_authentication_is_on() -> None:
    config = one("RayService", "rayroom")["spec"]["rayClusterConfig"]
    assert config["authOptions"] == {"mode": "token", "secretName": "rayroom-ray"}


def test_a_stopped_worker_has_the_time_for_its_longest_answer(served: AppSettings) -> None:
    _, worker = pod_templates(one("RayService", "rayroom"))
    environment = {each["name"]: each["value"] for each in worker["spec"]["containers"][0]["env"]}
    drain_s = int(environment["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert grace_s("router", served) <= drain_s < worker["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["metadata"]["name"])
def test_a_workload_has_its_secrets_by_reference_and_no_privileges(workload: Resource) -> None:
    for template in pod_templates(workload):
        assert template["spec"]["securityContext"]["runAsUser"] == 10001
    for container in containers(workload):
        assert [source for source in container["envFrom"] if "secretRef" in source]
        values = {each["name"]: each.get("value", "") for each in container.get("env", [])}
        assert not [name for name in values if name.endswith(("KEY", "KEYS", "SECRET", "TOKEN"))]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["resources"]["requests"]["cpu"] and container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", ["rayroom-agent", "rayroom-dispatch"])
def test_a_probe_is_answered_by_a_port_of_the_image(name: str) -> None:
    (container,) = containers(one("Deployment", name))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probed = {probe["httpGet"]["port"] for key, probe in container.items() if key.endswith("Probe")}
    environment = parse((ROOT / "Dockerfile").read_text()).environment("agent")
    served = {int(environment["RAYROOM_AGENT_HTTP_PORT"]), 8010}
    assert probed == set(ports) and set(ports.values()) <= served
    assert environment["RAYROOM_AGENT_HTTP_HOST"] == environment["RAYROOM_DISPATCH_HOST"] == "0.0.0.0"


def test_every_disruption_budget_and_policy_selects_pods_that_exist() -> None:
    labels = [
        template["metadata"]["labels"] for each in BASE for template in pod_templates(each) if "metadata" in template
    ]
    # KubeRay's own.
    created = {"app.kubernetes.io/created-by": "kuberay-operator"}
    labels += [
        created | {"ray.io/node-type": "head"},
        created | {"ray.io/node-type": "worker", "ray.io/group": "workers"},
    ]
    selecting: list[dict[str, Any]] = []
    for each in BASE:
        if each["kind"] in ("PodDisruptionBudget", "Service"):
            selector = each["spec"]["selector"]
            selecting.append(selector.get("matchLabels", selector))
        elif each["kind"] == "NetworkPolicy":
            selecting.append(each["spec"]["podSelector"]["matchLabels"])
    assert len(selecting) == 7
    for selector in selecting:
        assert [pod for pod in labels if selector.items() <= pod.items()], selector


def test_rays_ports_are_open_to_ray_and_its_operator_only() -> None:
    policy = one("NetworkPolicy", "rayroom-ray")["spec"]
    within, operator, clients, metrics = policy["ingress"]
    assert "ports" not in within and within["from"] == [{"podSelector": policy["podSelector"]}]
    assert 8265 in [port["port"] for port in operator["ports"]]
    assert [port["port"] for port in (*clients["ports"], *metrics["ports"])] == [8000, 8080]


def test_production_names_images_and_sizes() -> None:
    images = [container["image"] for each in PRODUCTION for container in containers(each)]
    assert images == ["example.com/rayroom-app:1.0.0"] * 2 + ["example.com/rayroom-agent:1.0.0"] * 2
    assert {each["metadata"]["namespace"] for each in PRODUCTION} == {"rayroom"}
