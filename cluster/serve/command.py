"""Run the app until SIGTERM or SIGINT, then stop it without losing an answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import structlog
import yaml
from ray.serve._private.constants import RAY_SERVE_HAPROXY_METRICS_PORT, RAY_SERVE_HAPROXY_STATS_PORT
from ray.serve.schema import ServeDeploySchema

from cluster.config.grace import longest_answer_s
from cluster.config.settings import AppSettings
from cluster.serve.app_process import AppProcess
from cluster.serve.readiness import wait_until_ready
from cluster.serve.start_checks import API_PORT, check_ports, check_start

STARTED = "app started"
STOPPED = "app stopped"
RAY_ADDRESS = "RAY_ADDRESS"
"""The variable with the address of a running cluster; without it this process starts a Ray of its own."""
LOOPBACK = "127.0.0.1"
ALL_INTERFACES = ("0.0.0.0", "::")
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


def run_app(file: Path, settings: AppSettings) -> None:
    """Serve the checked configuration; raises RayroomError with the reason if it cannot be served.

    The first signal drains the app, and a second one ends the process at once.
    """
    config = ServeDeploySchema.model_validate(yaml.safe_load(file.read_text("utf-8")))
    _check(config, settings)
    stop = threading.Event()
    app = AppProcess(config, stop, time.monotonic)
    _stop_on_signals(stop)
    app.start()
    # Ray's own handler ends its processes at once.
    _stop_on_signals(stop)
    try:
        app.deploy()
        host = config.http_options.host or LOOPBACK
        if not os.environ.get(RAY_ADDRESS):
            address = LOOPBACK if host in ALL_INTERFACES else host
            wait_until_ready(f"http://{address}:{config.http_options.port}/readyz", stop)
        if not stop.is_set():
            log.info(STARTED, host=host, port=config.http_options.port)
        stop.wait()
        app.drain(longest_answer_s(settings))
    finally:
        app.close()
    log.info(STOPPED)


def _check(config: ServeDeploySchema, settings: AppSettings) -> None:
    if os.environ.get(RAY_ADDRESS):
        # The running cluster has the ports and the journal, on its own machines.
        return
    check_start(settings)
    check_ports(config.http_options.host or LOOPBACK, {API_PORT: config.http_options.port})
    pages = {
        "RAY_SERVE_HAPROXY_STATS_PORT": RAY_SERVE_HAPROXY_STATS_PORT,
        "RAY_SERVE_HAPROXY_METRICS_PORT": RAY_SERVE_HAPROXY_METRICS_PORT,
    }
    check_ports(LOOPBACK, pages)


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    for number in SIGNALS:
        signal.signal(number, handle)
