"""compose.yaml fits the schema of the Compose specification, and Ray accepts the commands in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.go_module import module_directory

ROOT = Path(__file__).parents[2]
SCHEMA = "github.com/compose-spec/compose-go/v2@v2.9.0"


def interpolated(text: str) -> Any:
    """Return the file as Compose reads it with `value` for each variable."""
    return yaml.safe_load(re.sub(r"\$\{[^}]+\}", "value", text).replace("$$", "$"))


def test_the_file_fits_the_schema_of_the_compose_specification() -> None:
    schema = json.loads((module_directory(SCHEMA) / "schema" / "compose-spec.json").read_text())
    document = interpolated((ROOT / "compose.yaml").read_text("utf-8"))
    problems = [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(document)
    ]
    assert problems == []


@pytest.mark.parametrize("name", ["ray-head", "ray-worker"])
def test_ray_accepts_the_options_of_its_nodes(name: str) -> None:
    from ray.scripts.scripts import cli

    ray, *arguments = interpolated((ROOT / "compose.yaml").read_text("utf-8"))["services"][name]["command"]
    command = cli.commands[arguments[0]]
    assert ray == "ray" and command.make_context("start", arguments[1:]).params["block"]
