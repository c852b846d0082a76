"""Reads files of published Go modules, such as the schemas of Compose and KubeRay, through the ordinary Go client."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import pytest

TIMEOUT_S = 300


@cache
def module_directory(module: str) -> Path:
    """Return the directory of `path@version` in Go's module cache; skips the test where Go cannot load it."""
    try:
        loaded = subprocess.run(
            ["go", "mod", "download", "-json", module], cwd="/", capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except FileNotFoundError:
        pytest.skip("Go is not installed")
    answer = json.loads(loaded.stdout or "{}")
    if "Dir" not in answer:
        pytest.skip(f"{module}: {answer.get('Error', loaded.stderr)[:200]}")
    return Path(answer["Dir"])
