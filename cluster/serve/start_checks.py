"""Check before Ray starts that the app can serve: its settings, keys, journal and ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from cluster.app import check
from cluster.config.keys import find_keys
from cluster.config.settings import AppSettings
from cluster.costs.journal import Journal
from cluster.costs.storage.shard_files import shard_path
from routing.errors import ConfigurationError

API_PORT = "http_options.port"


def check_start(settings: AppSettings) -> None:
    """Raise ConfigurationError with the reason if the app of these settings cannot start on this machine.

    No aggregator may run: the journal is opened and closed.
    """
    check(settings)
    check_writable(Path(settings.costs.journal_path).parent, "costs.journal_path")
    find_keys(os.environ, Path(settings.keys.file))
    for shard in range(settings.costs.shards):
        # Refuses damaged pages, a newer format, and a file that another process writes.
        Journal(shard_path(Path(settings.costs.journal_path), shard), settings.costs.shards).close()


def check_writable(directory: Path, setting: str) -> None:
    """Raise ConfigurationError if no file can be made in `directory`, which is created if it is missing."""
    probe = directory / ".writable"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = f"{setting}: {directory} cannot be written to: {error.strerror}. Mount a writable volume there."
        raise ConfigurationError(message, setting) from None


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Raise ConfigurationError naming the setting of a port in use. HAProxy itself would share the port silently."""
    for setting, port in ports.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            # A port that was closed a moment ago is free, as it is for HAProxy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                message = f"{setting}: port {port} of {host} cannot be bound: {error.strerror}. Set another one."
                raise ConfigurationError(message, setting) from None
