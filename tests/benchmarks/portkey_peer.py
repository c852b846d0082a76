"""Installs Portkey's gateway from npm, and runs it as a peer with one process, no cache and no hooks.

It keeps no account of costs and checks no key: each request names its vendor and the vendor's key in headers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from cluster.lab.stack.ports import free_ports
from tests.benchmarks.peer_process import INSTALL_TIMEOUT_S, Peer, running_process

PACKAGE = "@portkey-ai/gateway"
VERSION = "1.15.2"
"""Pinned 2026-11-30: the newest version on npm. Bifrost's modules are not on the Go module proxy."""
SERVER = {"@hono/node-server": "1.13.8"}
"""The release that it is run with: with 1.19.19, which npm chooses, every stream of Portkey's ends with status 500."""


def install(root: Path) -> Path:
    """Return the gateway's script below `root`/.tools; install it if missing. Raises CalledProcessError."""
    directory = root / ".tools" / f"portkey-{VERSION}"
    script, stamp = directory / "node_modules" / PACKAGE / "build" / "start-server.js", directory / "installed"
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.parent / "lock"):
        if not stamp.exists():
            print(f"installing {PACKAGE} {VERSION} into {directory.relative_to(root)}", file=sys.stderr, flush=True)
            wanted = {"private": True, "dependencies": {PACKAGE: VERSION}, "overrides": SERVER}
            (directory / "package.json").write_text(json.dumps(wanted), "utf-8")
            options = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run([_tool("npm"), "install", *options], cwd=directory, timeout=INSTALL_TIMEOUT_S, check=True)
            stamp.touch()
    return script


@contextmanager
def running_portkey(root: Path, upstream_url: str) -> Iterator[Peer]:
    """Yield the gateway; the headers of a request send it to one upstream with OpenAI's protocol."""
    script, (port,) = install(root), free_ports(1)
    url = f"http://127.0.0.1:{port}"
    headers = {
        "authorization": "Bearer none",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": upstream_url,
    }
    command = [_tool("node"), str(script), f"--port={port}", "--headless"]
    environment = {**os.environ, "NODE_ENV": "production"}
    with (
        tempfile.TemporaryDirectory(prefix="portkey-") as directory,
        running_process("Portkey", command, directory, environment, url) as pid,
    ):
        yield Peer(url=url, headers=headers, pid=pid)


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise RuntimeError(f"{name} is needed to run Portkey's gateway.")
    return path
