"""The manifests fit the schemas of Kubernetes and of KubeRay's operator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.go_module import module_directory
from tests.support.manifests import MANIFESTS, Resource, rendered

OPERATOR = "github.com/ray-project/kuberay/ray-operator@v1.6.1"
KUBERNETES = ("kubernetes-validate>=1.36", "1.34")
"""The package with the schemas, and the oldest version of Kubernetes that the manifests must fit."""
UV = Path(sys.executable).with_name("uv")
OVERLAYS = [MANIFESTS / "base", MANIFESTS / "overlays" / "production"]


def strict(schema: Any) -> Any:
    """Return the schema with unknown keys as errors, as the API server rejects them."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    known = {key: strict(value) for key, value in schema.items()}
    open_ended = known.get("additionalProperties") or known.get("x-kubernetes-preserve-unknown-fields")
    return known | ({"additionalProperties": False} if "properties" in known and not open_ended else {})


def problems(resource: Resource) -> Iterator[str]:
    text = (module_directory(OPERATOR) / "config/crd/bases/ray.io_rayservices.yaml").read_text()
    (version,) = [each for each in yaml.safe_load(text)["spec"]["versions"] if each["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    for error in jsonschema.Draft7Validator(schema).iter_errors(resource):
        # The CRD's integers that may be text, such as ports, have no `type`.
        yield f"{error.json_path}: {error.message[:200]}"


@pytest.mark.parametrize("directory", OVERLAYS, ids=lambda directory: directory.name)
def test_the_ray_service_fits_the_operators_own_schema(directory: Path) -> None:
    (service,) = [each for each in rendered(directory) if each["kind"] == "RayService"]
    assert list(problems(service)) == []


def test_an_unknown_key_of_a_ray_service_is_found() -> None:
    (service,) = [each for each in rendered(OVERLAYS[0]) if each["kind"] == "RayService"]
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["imagePull"] = "Always"
    assert len(list(problems(service))) == 1


@pytest.mark.parametrize("directory", OVERLAYS, ids=lambda directory: directory.name)
def test_every_other_resource_fits_kubernetes(directory: Path, tmp_path: Path) -> None:
    package, version = KUBERNETES
    others = [each for each in rendered(directory) if each["kind"] != "RayService"]
    files = []
    for number, resource in enumerate(others):
        files.append(str(tmp_path / f"{number}.yaml"))
        Path(files[-1]).write_text(yaml.safe_dump(resource))
    command = [
        str(UV),
        "tool",
        "run",
        "--from",
        package,
        "kubernetes-validate",
        "--strict",
        "--kubernetes-version",
        version,
    ]
    validated = subprocess.run([*command, *files], capture_output=True, text=True, timeout=300)
    assert validated.returncode == 0, validated.stdout + validated.stderr
