"""The environment variables for Ray Serve's fast path and for a Ray node of one's own."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from deployments.common.private_files import refuse_readable_by_others
from routing.errors import ConfigurationError

log = structlog.get_logger()

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0, Ray's only switch for it, a node's address is 127.0.0.1, and its processes listen on no other interface."""
FAST_PATH = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""Serve reads them at import, on every node. docs/measurements.md has the gain."""

DEREGISTRATION_S = 5
"""The time for which a stopping router still accepts requests, until every HAProxy has removed it."""
HARD_STOP = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"
HARD_STOP_S = 240
"""The time that a replaced HAProxy has for its open requests: more than the longest answer of the shipped settings."""

SERVE_DEFAULTS = {
    # With Ray's own intervals of 0.1 s an idle cluster uses a twentieth of a core and more. The autoscaler works over
    # seconds, and decides the same up to 0.4 s later.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DEREGISTRATION_S),
    HARD_STOP: str(HARD_STOP_S),
}
"""Serve's settings for this app. Values in the environment take precedence."""


def own_haproxy() -> dict[str, str]:
    """Return the variable that has Serve start HAProxy through cluster.config.haproxy, where that is installed."""
    program = Path(sys.executable).with_name("rayroom-haproxy")
    return {"RAY_SERVE_HAPROXY_BINARY_PATH": str(program)} if program.exists() else {}


def fast_path_missing(environment: Mapping[str, str]) -> list[str]:
    """Return the variables of the fast path that `environment` does not set to its values."""
    return [name for name, value in FAST_PATH.items() if environment.get(name) != value]


def isolated_ray(directory: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the variables that separate one Ray's proxies from those of any other on this machine.

    Keys of `ports`: stats, metrics, fallback, grpc_fallback, ingress, ingress_grpc (each the first of 200).
    """
    # One letter: HAProxy limits a socket path to 97 characters, and Ray appends 56 and a file name.
    haproxy = directory / "h"
    return {
        "RAY_AUTH_MODE": "disabled",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports["stats"]),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports["metrics"]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports["fallback"]),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports["grpc_fallback"]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports["ingress"]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports["ingress"] + 199),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports["ingress_grpc"]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports["ingress_grpc"] + 199),
    }


def protected_ray(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the variables for a Ray of one machine: its token authentication on, its ports on loopback.

    The token is in Ray's own default place, where its commands find it too; it is generated there once. Values of
    `environment` take precedence: a cluster of several machines is started with `ray start`, before its application.
    """
    # A Ray that runs already, at RAY_ADDRESS, has its own address.
    variables = {"RAY_AUTH_MODE": "token"} | ({} if environment.get("RAY_ADDRESS") else {LOOPBACK: "0"})
    if environment.get("RAY_AUTH_MODE", "token") != "token":
        log.warning("Ray's token authentication disabled: anybody who reaches its ports runs code with all keys")
    elif not environment.get("RAY_AUTH_TOKEN"):
        ensure_token(Path(environment.get("RAY_AUTH_TOKEN_PATH") or home / ".ray" / "auth_token"))
    return {name: value for name, value in variables.items() if not environment.get(name)}


def ensure_token(path: Path) -> None:
    """Write a token of Ray that only its owner can read, unless there is one; warn of one that others can read.

    It is no error: Ray itself writes its token with the modes of the user's umask.
    """
    try:
        refuse_readable_by_others(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        token = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(token, "w") as file:
            file.write(secrets.token_hex(32))
    except ConfigurationError as error:
        log.warning("Ray's token is no secret", reason=error.message)
