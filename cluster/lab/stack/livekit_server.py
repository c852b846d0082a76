"""Find or build livekit-server, and write the configuration of a private one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import yaml
from filelock import FileLock, Timeout

from routing.errors import ConfigurationError

# Pinned: later versions replace modules in their go.mod, and `go install` refuses those.
VERSION = "v1.13.5"
PACKAGE = f"github.com/livekit/livekit-server/cmd/server@{VERSION}"
OLDEST_GO = (1, 26)
BUILD_TIMEOUT_S = 900.0
SHORTEST_SECRET_BYTES = 32
# A room is dispatched before its first guest arrives. Guests are slow on a busy machine, and a room that ended
# meanwhile would come back without its agent.
EMPTY_TIMEOUT_S = 300
_GET_GO = "install it from https://go.dev/dl/, or put a livekit-server on the PATH"


def find_livekit_server(root: Path, path: str | None = None) -> Path:
    """Return the livekit-server of the PATH, else the one below `root`/.tools/bin, built there if absent.

    `path` replaces the PATH. Raises ConfigurationError if it must be built and the build fails.
    """
    found = shutil.which("livekit-server", path=path)
    if found is not None:
        return Path(found)
    binary = root / ".tools" / "bin" / "livekit-server"
    if not binary.exists():
        go = _go(path)
        with _one_at_a_time(root / ".tools"):
            if not binary.exists():
                _build(go, binary)
    return binary


def livekit_config(
    port: int, tcp_port: int, udp_port: int, key: str, secret: str, webhook_url: str | None = None
) -> str:
    """Return the YAML of a server on 127.0.0.1 with one port each for signalling, ICE over TCP and ICE over UDP.

    It sends its webhooks to `webhook_url`.
    ICE over TCP alone listens on every address, because livekit-server has no setting for it; port 0 turns it off.
    Raises ConfigurationError for a secret of less than 32 bytes, which could be guessed from a token.
    """
    if len(secret.encode()) < SHORTEST_SECRET_BYTES:
        raise ConfigurationError(f"secret: livekit-server's needs {SHORTEST_SECRET_BYTES} bytes or more.", "secret")
    return yaml.safe_dump(
        {
            "port": port,
            "bind_addresses": ["127.0.0.1"],
            "keys": {key: secret},
            "rtc": {
                "tcp_port": tcp_port,
                "udp_port": udp_port,
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo"]},
            },
            "room": {"auto_create": True, "empty_timeout": EMPTY_TIMEOUT_S, "departure_timeout": 5},
            "logging": {"level": "warn"},
        }
        | ({} if webhook_url is None else {"webhook": {"api_key": key, "urls": [webhook_url]}}),
        sort_keys=False,
    )


def _go(path: str | None) -> str:
    """Return the path of a Go that can build the server; raises ConfigurationError."""
    needed = ".".join(map(str, OLDEST_GO))
    go = shutil.which("go", path=path)
    if go is None:
        raise ConfigurationError(f"go is missing and livekit-server has to be built: Go {needed} or newer, {_GET_GO}.")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=30).stdout.strip()
    version = re.search(r"go(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GO:
        raise ConfigurationError(f"go: livekit-server needs Go {needed} or newer, this is {said or go}; {_GET_GO}.")
    return go


def _build(go: str, binary: Path) -> None:
    """Build the server and move it to `binary` when complete; raises ConfigurationError with the end of Go's output."""
    print(f"building livekit-server {VERSION}, about two minutes", file=sys.stderr, flush=True)
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent.parent, prefix="build-") as directory:
        # An interrupted build leaves all its files in there too.
        said = _run([go, "install", PACKAGE], {**os.environ, "GOBIN": directory, "GOTMPDIR": directory})
        built = Path(directory) / "server"
        if not built.exists():
            raise ConfigurationError(f"livekit-server {VERSION} could not be built:\n{said[-2_000:]}")
        built.replace(binary)


def _run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command to its end and return its output; cancelling this ends the command and its children."""
    with (
        _signals_raise(),
        # In a session of its own, so that the compilers it starts can be ended with it.
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            return process.communicate(timeout=BUILD_TIMEOUT_S)[0]
        except subprocess.TimeoutExpired:
            return f"{command[0]} was not done after {BUILD_TIMEOUT_S:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does; only the main thread can install that."""

    def unwind(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _one_at_a_time(tools: Path) -> Iterator[None]:
    """Hold the lock of the tools directory; the kernel releases it when this process ends."""
    tools.mkdir(parents=True, exist_ok=True)
    lock = FileLock(tools / "lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        print("waiting for another build of livekit-server", file=sys.stderr, flush=True)
        held = lock.acquire()
    with held:
        yield
