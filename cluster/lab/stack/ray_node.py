"""One Ray node with the Serve app, isolated from every other Ray on the machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.config.serve_env import FAST_PATH, SERVE_DEFAULTS, isolated_ray, own_haproxy
from cluster.config.settings import IMPORT_PATH
from cluster.lab.stack.ports import free_block, free_ports

# Two cores carry the demo because its replicas wait for simulated vendors; Ray only counts requested CPUs.
LOGICAL_CPUS = 4
OBJECT_STORE_BYTES = 256 * 1024 * 1024
STARTED_LINE = "Ray runtime started"
TIMED_OUT_LINE = "node timed out during startup"
"""The log lines of `ray start` when its node is up, and when it did not register in time."""


def ray_environment(temp: Path) -> dict[str, str]:
    """Return the environment of Ray and of every process that connects to it."""
    stats, metrics, fallback, grpc_fallback = free_ports(4)
    ports = {
        "stats": stats,
        "metrics": metrics,
        "fallback": fallback,
        "grpc_fallback": grpc_fallback,
        "ingress": free_block(200).start,
        "ingress_grpc": free_block(200).start,
    }
    # Its application has ended by then, and a head, which never becomes idle, would wait for all of Ray's 30 s.
    stops_at_once = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    python = {"RAY_DISABLE_IMPORT_WARNING": "1", "PYTHONUNBUFFERED": "1"}
    return {**FAST_PATH, **own_haproxy(), **SERVE_DEFAULTS, **isolated_ray(temp, ports), **stops_at_once, **python}


def start_command(temp: Path, port: int, cpus: int, metrics_port: int | None) -> list[str]:
    """Return the command that runs a head node in the foreground; its metrics use any port unless one is named."""
    client, agent = free_ports(2)
    return [
        *_module("ray.scripts.scripts"),
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={port}",
        f"--temp-dir={temp}",
        f"--num-cpus={cpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={agent}",
        # Zero lets the kernel choose, so that the fixed range of another Ray stays free.
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--include-dashboard=false",
        "--disable-usage-stats",
        *([] if metrics_port is None else [f"--metrics-export-port={metrics_port}"]),
    ]


def serve_command(address: str, config: Path) -> list[str]:
    """Return the command that runs the application on the node and stops it with itself."""
    return [*_module("ray.serve.scripts"), "run", f"--address={address}", str(config)]


def write_config(
    source: Path, target: Path, http_port: int, args: Mapping[str, Mapping[str, Any]], import_path: str = IMPORT_PATH
) -> None:
    """Write `source` with another port, the given parts of `args`, and the application."""
    document = yaml.safe_load(source.read_text("utf-8"))
    document["http_options"] = {"host": "127.0.0.1", "port": http_port}
    (application,) = document["applications"]
    application["import_path"] = import_path
    for part, values in args.items():
        application["args"][part] = {**application["args"].get(part, {}), **values}
    target.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def _module(name: str) -> list[str]:
    """Run a command's module with this interpreter: its script may not be on the PATH."""
    return [sys.executable, "-c", f"import sys; from {name} import {_entry(name)}; sys.exit({_entry(name)}())"]


def _entry(name: str) -> str:
    return "cli" if name == "ray.serve.scripts" else "main"
