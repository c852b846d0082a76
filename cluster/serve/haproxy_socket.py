"""Have this node's HAProxy refuse new requests, and count the requests that are still open in it."""

from __future__ import annotations

import csv
import io
import socket
from collections.abc import Iterator
from pathlib import Path

NO_APPLICATION = frozenset({"stats", "prometheus", "http_frontend", "default_backend"})
"""The sections of Serve's configuration that lead to no replica."""
TIMEOUT_S = 2.0
MAX_REPLY_BYTES = 4 * 1024 * 1024


class HAProxySocket:
    """HAProxy's command socket. Its methods raise OSError when nothing answers there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def refuse_requests(self) -> None:
        """Answer new requests with 503. Open ones go on, and the health check of the node fails from now on."""
        for server in servers(self._command("show stat")):
            self._command(f"set server {server} state maint")

    def open_requests(self) -> int:
        return count_requests(self._command("show stat"))

    def _command(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(self._path))
            connection.sendall(f"{command}\n".encode())
            reply = bytearray()
            while len(reply) < MAX_REPLY_BYTES and (chunk := connection.recv(65_536)):
                reply += chunk
        return reply.decode("utf-8", "replace")


def servers(statistics: str) -> list[str]:
    """Return `backend/server` for each server in HAProxy's `show stat` that requests may be sent to."""
    rows = _application_rows(statistics)
    return [f"{row['pxname']}/{row['svname']}" for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]


def count_requests(statistics: str) -> int:
    """Return the number of requests in the backends of HAProxy's `show stat`; idle connections are not counted."""
    return sum(int(row["scur"] or 0) for row in _application_rows(statistics) if row["svname"] == "BACKEND")


def _application_rows(statistics: str) -> Iterator[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(statistics.removeprefix("# ")))
    return (row for row in rows if row["pxname"] not in NO_APPLICATION)
