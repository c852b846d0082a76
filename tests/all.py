"""`make test`: every check and every test, the quick ones first."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.lab.stack.backend_peer import install, peer_command
from cluster.lab.stack.livekit_server import find_livekit_server
from routing.errors import ConfigurationError
from tests.support.browser import find_chromium

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
Step = tuple[str, ...]

CHECKS: tuple[Step, ...] = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
)


def _files(floor: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{floor}/test_{name}.py" for name in names)


def _but(files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"--ignore={file}" for file in files)


# The files of a step share a running system. The later files of the simulated step kill parts of it.
SIMULATED = _files("acceptance", "demo", "load", "seen", "tools", "one_dollar", "one_frame", "wrong_tenant")
LIVE = _files("acceptance", "pixels_to_sound", "router", "screens", "slow_uploads", "voice_bill")
GATEWAY = "tests/integration/gateway"
COMMANDS = _files("integration/cluster", "check", "emulate", "load", "report_in_a_browser")
# A test that timed out on a machine with four busy processes a core runs once more, with its first traceback printed.
# Any other failure, a wrong bill above all, is final.
ONCE_MORE = ("--reruns", "1", "--only-rerun", "TimeoutError", "--rerun-show-tracebacks")
UNIT = ("pytest", "-m", "not injections")
# Three at once, begun in this order: the long ones first, and at most two that start Ray at a time. A fourth at once
# saves no time and makes starts of Ray fail.
STEPS: tuple[Step, ...] = (
    ("pytest", *ONCE_MORE, *SIMULATED),
    ("pytest", *ONCE_MORE, "tests/acceptance", *_but((*SIMULATED, *LIVE))),
    ("pytest", "tests/integration", *_but((GATEWAY, *COMMANDS))),
    ("pytest", *ONCE_MORE, *LIVE),
    ("pytest", "-m", "not matrix", GATEWAY),
    ("pytest", *COMMANDS),
    (*UNIT, "tests/unit/room_agent"),
    (*UNIT, "tests/unit", "--ignore=tests/unit/room_agent", "tests/contract"),
    ("mypy",),
)
AT_ONCE = 3


def main() -> int:
    """Run the steps; return the exit status of the first that fails."""
    try:
        # Builds take minutes and tests have deadlines, so everything is built, and missing tools are reported, first.
        find_livekit_server(ROOT)
        find_chromium()
        peer_command(ROOT, key="unused")
        install(ROOT / "tests/support/openai_client")
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)
        return 2
    status = _each(CHECKS) or _at_once(STEPS)
    print("== not run here, because it takes minutes more: `make nodes`, on clusters of several nodes")
    return status


def _each(steps: tuple[Step, ...]) -> int:
    for step in steps:
        started_s = time.monotonic()
        status = subprocess.run(_command(step), cwd=ROOT).returncode
        _report(step, status, started_s)
        if status:
            return status
    return 0


def _at_once(steps: Sequence[Step]) -> int:
    """Run the steps, a few at once, and print each one's output when it ends; later steps run even if one fails."""
    print("== pytest and mypy, three at once: some ten minutes until all have ended", flush=True)
    running: set[subprocess.Popen[str]] = set()
    stopped = threading.Event()

    def run(step: Step) -> int:
        if stopped.is_set():
            return 1
        started_s = time.monotonic()
        with tempfile.TemporaryFile("w+") as output:
            with subprocess.Popen(_command(step), cwd=ROOT, stdout=output, stderr=output, text=True) as process:
                running.add(process)
            running.discard(process)
            output.seek(0)
            print(output.read(), end="")
        _report(step, process.returncode, started_s)
        status: int = process.returncode
        return abs(status)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = pool.map(run, steps)
        try:
            return max(statuses)
        finally:
            stopped.set()
            for process in list(running):
                # Not SIGTERM: pytest would leave the processes that its fixtures started.
                process.send_signal(signal.SIGINT)


def _command(step: Step) -> list[str | Path]:
    name, *arguments = step
    return [BIN / name, *arguments]


def _report(step: Step, status: int, started_s: float) -> None:
    name = " ".join(step)
    print(f"== {name}: {'ok' if status == 0 else 'FAILED'} after {time.monotonic() - started_s:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
