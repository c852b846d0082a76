"""Installs LiteLLM's proxy in its own virtualenv, and runs it as a peer with one worker, no database, no callbacks."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from filelock import FileLock

from cluster.lab.stack.ports import free_ports
from tests.benchmarks.peer_process import INSTALL_TIMEOUT_S, Peer, running_process

VERSION = "1.108.7"
"""Pinned 2026-11-25: the newest version whose packages were all published."""


def install(root: Path) -> Path:
    """Return the proxy's executable below `root`/.tools; install it if missing. Raises CalledProcessError."""
    directory = root / ".tools" / f"litellm-{VERSION}"
    program, stamp = directory / "bin" / "litellm", directory / "installed"
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.parent / "lock"):
        if not stamp.exists():
            print(f"installing litellm {VERSION} into {directory.relative_to(root)}", file=sys.stderr, flush=True)
            _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(directory))
            _uv(
                "pip", "install", "--quiet", "--python", str(directory / "bin" / "python"), f"litellm[proxy]=={VERSION}"
            )
            stamp.touch()
    return program


@contextmanager
def running_litellm(root: Path, upstream_url: str, model: str) -> Iterator[Peer]:
    """Yield the proxy in front of one upstream with OpenAI's protocol."""
    program, (port,), key = install(root), free_ports(1), f"sk-{secrets.token_hex(16)}"
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="litellm-") as directory:
        config = Path(directory) / "config.yaml"
        config.write_text(yaml.safe_dump(_config(upstream_url, model, key)), "utf-8")
        options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        command = [str(program), *options, "--num_workers", "1"]
        with running_process("LiteLLM", command, directory, _environment(), f"{url}/health/liveliness") as pid:
            yield Peer(url=url, headers={"authorization": f"Bearer {key}"}, pid=pid)


def _config(upstream_url: str, model: str, key: str) -> dict[str, object]:
    target = {"model": f"openai/{model}", "api_base": upstream_url, "api_key": "none", "max_retries": 0}
    return {
        "model_list": [{"model_name": model, "litellm_params": target}],
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": key},
    }


def _environment() -> dict[str, str]:
    """Return the production settings of its documentation, which fetch nothing at the start."""
    settings = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    excluded = ("DATABASE_URL", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in excluded} | settings


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).parent / "uv"
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    subprocess.run([uv, *arguments], env=environment, timeout=INSTALL_TIMEOUT_S, check=True)
