"""A real livekit-server on free ports; it ends on exit."""

from __future__ import annotations

import datetime as dt
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from livekit import api

from cluster.lab.stack.livekit_server import find_livekit_server, livekit_config
from cluster.lab.stack.ports import free_ports

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKit:
    """The address and the credentials of a running server."""

    url: str
    key: str
    secret: str = field(repr=False)

    def token(self, room: str, identity: str, agent: bool = False) -> str:
        """Return a token with which `identity` joins `room` to publish and subscribe, as a user or as an agent."""
        grants = api.VideoGrants(room_join=True, room=room, agent=agent)
        token = api.AccessToken(self.key, self.secret).with_identity(identity).with_grants(grants)
        token = token.with_kind("agent" if agent else "standard")
        return token.with_ttl(dt.timedelta(minutes=10)).to_jwt()


@contextmanager
def running_livekit(root: Path = ROOT, webhook_url: str | None = None) -> Iterator[LiveKit]:
    """Yield a running server, found or built below `root`; raises RuntimeError when it does not start."""
    binary = find_livekit_server(root)
    port, tcp_port, udp_port = free_ports(3)
    livekit = LiveKit(url=f"ws://127.0.0.1:{port}", key="tests", secret=secrets.token_urlsafe(32))
    with tempfile.TemporaryDirectory(prefix="livekit-") as directory:
        config, log = Path(directory, "livekit.yaml"), Path(directory, "livekit.log")
        config.touch(0o600)
        config.write_text(_config(livekit, port, tcp_port, udp_port, webhook_url), "utf-8")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, "--config", config], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            _wait_until_listening(process, port, log)
            yield livekit
            if process.poll() is not None:
                raise RuntimeError(f"livekit-server ended early, status {process.returncode}:\n{_tail(log)}")
        finally:
            _stop(process)


def _config(livekit: LiveKit, port: int, tcp_port: int, udp_port: int, webhook_url: str | None) -> str:
    return livekit_config(port, tcp_port, udp_port, livekit.key, livekit.secret, webhook_url)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < end_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"livekit-server did not start:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-2_000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Not SIGTERM: it would wait until its rooms are empty, and a killed agent stays in its room for a while.
    process.kill()
    process.wait(STOP_TIMEOUT_S)
