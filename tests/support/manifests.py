"""Reads the Kubernetes manifests as kustomize would render an overlay: its resources, patches, images and namespace."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parents[2] / "manifests"
Resource = dict[str, Any]


def rendered(directory: Path) -> list[Resource]:
    """Return the resources of a kustomization; only `replace` operations of JSON patches are known."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text("utf-8"))
    resources: list[Resource] = []
    for name in kustomization["resources"]:
        path = directory / name
        resources += rendered(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text("utf-8")))
    resources = copy.deepcopy(resources)
    for patch in kustomization.get("patches", []):
        (target,) = [one for one in resources if one["kind"] == patch["target"]["kind"]]
        assert target["metadata"]["name"] == patch["target"]["name"]
        for operation in yaml.safe_load(patch["patch"]):
            assert operation["op"] == "replace"
            _replace(target, operation["path"], operation["value"])
    images = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in kustomization.get("images", [])}
    for resource in resources:
        if namespace := kustomization.get("namespace"):
            resource["metadata"]["namespace"] = namespace
        for container in containers(resource):
            container["image"] = images.get(container["image"], container["image"])
    return resources


def containers(resource: Resource) -> list[dict[str, Any]]:
    """Return the containers of a workload."""
    return [container for template in pod_templates(resource) for container in template["spec"]["containers"]]


def pod_templates(resource: Resource) -> list[dict[str, Any]]:
    spec = resource.get("spec", {})
    if resource["kind"] == "RayService":
        cluster = spec["rayClusterConfig"]
        return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    return [spec["template"]] if "template" in spec else []


def _replace(document: Any, path: str, value: object) -> None:
    *parents, last = path.strip("/").split("/")
    for part in parents:
        document = document[int(part) if isinstance(document, list) else part]
    key = int(last) if isinstance(document, list) else last
    # A replaced value must exist, as kustomize demands.
    document[key]
    document[key] = value
