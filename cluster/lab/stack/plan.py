"""The plan of one run: its output, its rooms, and its own keys, ports and directories."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from cluster.lab.stack.ports import free_ports
from routing.errors import ConfigurationError

TENANTS = ("acme", "globex")
VOICE_TENANT = TENANTS[0]
VOICE_ROOM = f"tenant_{VOICE_TENANT}_demo-voice"
HEARTBEAT_S = 2
"""The live table is drawn from the agents' heartbeats while a person watches it."""
"""The room with a speaker, beside the rooms that share screens."""


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run on this machine; nothing in it is shared with another run."""

    root: Path
    directory: Path
    temp: Path
    http_port: int
    ray_port: int
    livekit_ports: tuple[int, int, int]
    emulator_port: int
    metrics_port: int
    livekit_key: str = "private"
    livekit_secret: str = field(default_factory=_secret, repr=False)
    agent_key: str = field(default_factory=_secret, repr=False)
    admin_key: str = field(default_factory=_secret, repr=False)
    token_secret: str = field(default_factory=_secret, repr=False)
    backend_key: str = field(default_factory=_secret, repr=False)

    @property
    def router_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def livekit_url(self) -> str:
        return f"ws://127.0.0.1:{self.livekit_ports[0]}"

    @property
    def emulator_url(self) -> str:
        return f"http://127.0.0.1:{self.emulator_port}"

    @property
    def metrics_url(self) -> str:
        """The Prometheus endpoint of the Ray node."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    @property
    def ray_address(self) -> str:
        return f"127.0.0.1:{self.ray_port}"

    @property
    def journal(self) -> Path:
        return self.directory / "journal.db"


@contextlib.contextmanager
def planned(root: Path, directory: Path) -> Iterator[Plan]:
    """Yield a plan with an empty directory of its own; raises ConfigurationError while another run holds it."""
    if not (root / "serve_config.yaml").exists():
        raise ConfigurationError("This runs from a checkout of the repository: serve_config.yaml is not here.")
    with _own_directory(directory.resolve()) as own, _temporary() as temp:
        http_port, ray_port, emulator_port, metrics_port, *livekit_ports = free_ports(7)
        yield Plan(
            root=root,
            directory=own,
            temp=temp,
            http_port=http_port,
            ray_port=ray_port,
            emulator_port=emulator_port,
            metrics_port=metrics_port,
            livekit_ports=(livekit_ports[0], livekit_ports[1], livekit_ports[2]),
        )


def demo_rooms(count: int) -> dict[str, str]:
    """Return the rooms where a demo shares screens, and the tenant of each."""
    named = [(TENANTS[number % len(TENANTS)], number + 1) for number in range(count)]
    return {f"tenant_{tenant}_demo-{number}": tenant for tenant, number in named}


@contextlib.contextmanager
def _own_directory(directory: Path) -> Iterator[Path]:
    """Yield the run's directory, emptied of an earlier run; raises ConfigurationError while another run holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / "lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        raise ConfigurationError(f"Another demo runs in {directory}; give this one its own: --directory") from None
    with held:
        for old in directory.iterdir():
            if old.name != "lock":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        yield directory


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    # Short, independent of TMPDIR: Ray and HAProxy put Unix sockets below it, and their paths are bounded.
    temp = Path(tempfile.mkdtemp(prefix="rr-", dir="/tmp"))
    try:
        yield temp
    finally:
        shutil.rmtree(temp, ignore_errors=True)
