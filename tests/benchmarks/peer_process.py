"""Runs another gateway as a process of its own, until it answers and then until the benchmark ends."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.cores import Pids, descendants

INSTALL_TIMEOUT_S = 600.0
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A running gateway: its address, and the headers that each request to it has."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    pid: int

    def pids(self) -> Pids:
        return (self.pid, *descendants(self.pid))


@contextmanager
def running_process(
    name: str, command: Sequence[str], directory: str, environment: Mapping[str, str], health_url: str
) -> Iterator[int]:
    """Yield the id of a process once its health route answers; raises RuntimeError with the end of its log."""
    log = Path(directory) / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=stream, stderr=stream)
    try:
        _wait(name, health_url, process, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


def _wait(name: str, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise RuntimeError(f"{name} did not start:\n{log.read_text('utf-8', 'replace')[-2_000:]}")
