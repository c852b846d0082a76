"""The wheel and the sdist of a release, and the app that runs from the wheel in an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import httpx
import pytest

from cluster.lab.stack.ports import free_ports
from cluster.lab.stack.ray_node import ray_environment, write_config
from routing import VERSION

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
TIMEOUT_S = 300
PACKAGES = ("cluster", "deployments", "room_agent", "routing")


def uv(*arguments: object, cwd: Path = ROOT) -> str:
    ended = subprocess.run([UV, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with both archives. uv builds the wheel from the sdist."""
    directory = tmp_path_factory.mktemp("dist")
    uv("build", "--python", sys.executable, "--out-dir", directory)
    return directory


@pytest.fixture(scope="module")
def installed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and the locked versions of what it needs."""
    environment = tmp_path_factory.mktemp("empty") / "venv"
    locked = environment.with_name("locked.txt")
    uv("export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--quiet", "--output-file", locked)
    uv("venv", "--python", sys.executable, environment)
    wheel = release / f"rayroom-{VERSION}-py3-none-any.whl"
    uv("pip", "install", "--python", environment, "--constraints", locked, wheel)
    return environment / "bin"


def test_both_archives_hold_every_file_of_the_packages(release: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True).stdout.split()
    with zipfile.ZipFile(release / f"rayroom-{VERSION}-py3-none-any.whl") as wheel:
        assert set(tracked) <= set(wheel.namelist())
    with tarfile.open(release / f"rayroom-{VERSION}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {*tracked, "serve_config.yaml", "docs/operations.md", "LICENSE", "README.md"} <= names
    assert not [name for name in names if name.startswith(("tests/", "examples/", ".venv"))]


def test_the_wheel_prints_its_version_and_the_models(installed: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        ended = subprocess.run([installed / "rayroom", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert run("--version") == f"rayroom {VERSION}\n"
    assert "gpt-6-luna" in run("models")


def test_the_app_of_the_wheel_gets_ready_and_stops_in_order(installed: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config, log = tmp_path / "serve_config.yaml", tmp_path / "log"
    write_config(ROOT / "serve_config.yaml", config, port, {})
    # The paths of Ray's and HAProxy's sockets must be short.
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as short, log.open("wb") as output:
        own = {"RAY_SERVE_HAPROXY_BINARY_PATH": str(installed / "rayroom-haproxy"), "RAY_TMPDIR": short}
        path = f"{installed}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **ray_environment(Path(short)), **own, "PATH": path}
        command = [str(installed / "rayroom"), "serve", str(config)]
        app = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
        try:
            _serve_and_stop(app, port)
        finally:
            app.kill()
            print(log.read_text()[-3_000:])
    assert (tmp_path / ".rayroom" / "journal.db").exists()


def _serve_and_stop(app: subprocess.Popen[bytes], port: int) -> None:
    _wait_until_ready(f"http://127.0.0.1:{port}/readyz", app)
    assert httpx.get(f"http://127.0.0.1:{port}/openapi.json").json()["info"]["version"] == VERSION
    app.send_signal(signal.SIGTERM)
    assert app.wait(TIMEOUT_S) == 0


def _wait_until_ready(url: str, app: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        assert app.poll() is None
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise TimeoutError(url)
