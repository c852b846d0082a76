"""The images are pinned, small, unprivileged, reachable, and stop in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.config.serve_env import FAST_PATH, SERVE_DEFAULTS
from tests.support.dockerfile import parse

ROOT = Path(__file__).parents[3]
TARGETS = ("app", "agent")
DOCKERFILE = parse((ROOT / "Dockerfile").read_text("utf-8"))


def test_every_base_is_an_image_with_a_digest_or_an_earlier_stage() -> None:
    assert re.fullmatch(r"python:3\.11-slim@sha256:[0-9a-f]{64}", DOCKERFILE.arguments["PYTHON"])
    earlier: list[str] = []
    for stage in DOCKERFILE.stages.values():
        assert stage.base == "${PYTHON}" or stage.base in earlier
        earlier.append(stage.name)


def test_every_copied_path_exists_and_reaches_the_build() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().split()}
    for target in DOCKERFILE.stages:
        for one in DOCKERFILE.instructions(target, "COPY"):
            *sources, _ = one.words()
            if not one.value.startswith("--from="):
                assert all((ROOT / source).exists() and source not in ignored for source in sources), one
    assert not [one for target in DOCKERFILE.stages for one in DOCKERFILE.instructions(target, "ADD")]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_unprivileged_below_an_init_and_is_probed(target: str) -> None:
    def last(name: str) -> list[str]:
        return DOCKERFILE.instructions(target, name)[-1].words()

    assert last("USER") == ["rayroom"]
    assert last("ENTRYPOINT") == ["tini", "--"]
    assert last("STOPSIGNAL") == ["SIGTERM"]
    assert last("VOLUME") == ["/app/.rayroom"]
    # An exec form: a shell as process 1 would keep the signal from the command.
    assert DOCKERFILE.instructions(target, "CMD")[-1].value.startswith("[")
    (port,) = last("EXPOSE")
    assert f"http://127.0.0.1:{port}/" in DOCKERFILE.instructions(target, "HEALTHCHECK")[-1].value


@pytest.mark.parametrize("target", TARGETS)
def test_the_client_of_the_probes_and_the_init_are_installed_without_leftovers(target: str) -> None:
    (installed,) = [one.value for one in DOCKERFILE.instructions(target, "RUN") if "apt-get" in one.value]
    assert "--no-install-recommends tini wget" in installed and "rm -rf /var/lib/apt/lists/*" in installed


def test_the_apps_environment_is_the_one_that_rayroom_serve_sets() -> None:
    environment = DOCKERFILE.environment("app")
    serve = {name: value for name, value in environment.items() if name.startswith("RAY_SERVE_")}
    assert serve.pop("RAY_SERVE_HAPROXY_BINARY_PATH") == "/app/.venv/bin/rayroom-haproxy"
    assert serve == FAST_PATH | SERVE_DEFAULTS


def test_nothing_secret_is_baked_into_an_image() -> None:
    names = {name for target in DOCKERFILE.stages for name in DOCKERFILE.environment(target)}
    assert not [name for name in names if re.search("KEY|SECRET|TOKEN|PASSWORD", name)]
