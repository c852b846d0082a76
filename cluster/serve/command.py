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
from cluster.serve.start_checks import API_PORT, check_ports, check_start

STARTED = "app started"
STOPPED = "app stopped"
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
        if not stop.is_set():
            log.info(STARTED, host=config.http_options.host, port=config.http_options.port)
        stop.wait()
        app.drain(longest_answer_s(settings))
    finally:
        app.close()
    log.info(STOPPED)


def _check(config: ServeDeploySchema, settings: AppSettings) -> None:
    if os.environ.get("RAY_ADDRESS"):
        # The running cluster has the ports and the journal, on its own machines.
        return
    check_start(settings)
    check_ports(config.http_options.host or "127.0.0.1", {API_PORT: config.http_options.port})
    pages = {
        "RAY_SERVE_HAPROXY_STATS_PORT": RAY_SERVE_HAPROXY_STATS_PORT,
        "RAY_SERVE_HAPROXY_METRICS_PORT": RAY_SERVE_HAPROXY_METRICS_PORT,
    }
    check_ports("127.0.0.1", pages)


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise SystemExit(128 + number)
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    for number in SIGNALS:
        signal.signal(number, handle)
