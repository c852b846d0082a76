"""Deploy the app on a Ray of this process, or on the running one of RAY_ADDRESS, and delete it in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import structlog
from ray import serve
from ray.serve._private.api import serve_start
from ray.serve._private.constants import RAY_SERVE_HAPROXY_SOCKET_PATH, SERVE_NAMESPACE
from ray.serve.config import gRPCOptions
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from cluster.aggregator.actor import find_aggregators
from cluster.serve.haproxy_socket import HAProxySocket
from routing.errors import RayroomError

POLL_S = 0.25
AGGREGATOR_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 30.0

log = structlog.get_logger()


class DeployFailed(RayroomError):
    """The app was not deployed; the message holds Ray's reason."""

    code = "deploy_failed"


class AppProcess:
    """The app of one configuration. Its methods block."""

    def __init__(self, config: ServeDeploySchema, stop: threading.Event, clock: Callable[[], float]) -> None:
        self._config = config
        self._stop = stop
        self._clock = clock
        self._names = [application.name for application in config.applications]
        self._client: Any = None

    def start(self) -> None:
        """Start Ray, or connect to it, and deploy the app."""
        ray.init(namespace=SERVE_NAMESPACE)

    def deploy(self) -> None:
        """Deploy the app and wait until it runs, or until a signal; raises DeployFailed."""
        config = self._config
        self._client = serve_start(
            http_options=config.http_options.model_dump(),
            grpc_options=gRPCOptions(**config.grpc_options.model_dump()),
            proxy_location=config.proxy_location,
            controller_options=config.controller_options,
        )
        self._client.deploy_apps(config, _blocking=False)
        while not self._stop.is_set() and not self._runs():
            self._stop.wait(POLL_S)

    def drain(self, grace_s: float) -> None:
        """Refuse new requests, wait for the open ones for `grace_s` at most, and delete the app with its replicas."""
        deadline_s = self._clock() + grace_s
        self._empty_haproxy(deadline_s)
        if self._client is not None:
            self._client.delete_apps(self._names, blocking=False)
            while self._statuses() and self._clock() < deadline_s:
                time.sleep(POLL_S)
        self._settle()

    def close(self) -> None:
        """End Serve, and Ray if this process started it."""
        if self._client is not None:
            self._client.shutdown(timeout_s=SHUTDOWN_TIMEOUT_S)
        ray.shutdown()

    def _runs(self) -> bool:
        statuses = self._statuses()
        for name, status in statuses.items():
            if status.status == ApplicationStatus.DEPLOY_FAILED:
                raise DeployFailed(f"The application {name} was not deployed: {status.message}")
        running = [name for name, status in statuses.items() if status.status == ApplicationStatus.RUNNING]
        return set(running) == set(self._names)

    def _statuses(self) -> dict[str, Any]:
        applications = serve.status().applications
        return {name: applications[name] for name in self._names if name in applications}

    def _empty_haproxy(self, deadline_s: float) -> None:
        socket = Path(RAY_SERVE_HAPROXY_SOCKET_PATH)
        # Serve gives each node's HAProxy a directory of its own.
        haproxy = HAProxySocket(socket.parent / ray.get_runtime_context().get_node_id() / socket.name)
        try:
            haproxy.refuse_requests()
            log.info("new requests refused", open_requests=haproxy.open_requests())
            while haproxy.open_requests() and self._clock() < deadline_s:
                time.sleep(POLL_S)
                # Serve may have started another HAProxy for a replica that came or went.
                haproxy.refuse_requests()
        except OSError as error:
            # The replicas wait for their requests all the same; those of the last second may be cut.
            log.warning("HAProxy not reached", error=error.strerror or type(error).__name__)

    def _settle(self) -> None:
        """Send the settled costs to the backend; the journal keeps for the next start what cannot be sent now."""
        try:
            open_intents = sum(
                ray.get([one.drain.remote() for one in find_aggregators()], timeout=AGGREGATOR_TIMEOUT_S)
            )
            log.info("costs flushed", open_intents=open_intents)
        except Exception as error:
            log.warning("costs not flushed: the journal keeps them", error=type(error).__name__)
