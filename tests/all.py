"""`make test`: every check and every test, the quick ones first, with the coverage of the four packages."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster.demo.livekit import find_livekit_server
from cluster.demo.peer import install, peer_command
from routing.errors import ConfigurationError
from tests.browser import find_chromium

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

CHECKS: tuple[tuple[str, ...], ...] = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("coverage", "erase"),
)


def _files(floor: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{floor}/test_{name}.py" for name in names)


def _but(files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"--ignore={file}" for file in files)


SIMULATED = _files("acceptance", "demo", "load", "one_dollar", "one_frame", "wrong_tenant")
LIVE = _files("acceptance", "pixels_to_sound", "router", "voice_bill")
COVERED = ("coverage", "run", "-m", "pytest")
# What needs the processor and no clock gives way to what starts Ray, which gives a node thirty seconds.
PATIENT = ("nice", "-n", "10")
# Side by side, for most of them wait: for processes to start, and for what is spoken to be said. More of them at once
# take no less time, and Ray's starts fail. Coverage is counted where the code runs in the test's own process.
LANES: tuple[tuple[str, ...], ...] = (
    ("pytest", *SIMULATED),
    ("pytest", *LIVE),
    (*COVERED, "tests/acceptance", *_but((*SIMULATED, *LIVE))),
    (*COVERED, "tests/integration"),
    (*PATIENT, *COVERED, "tests/unit", "tests/contract"),
    (*PATIENT, "mypy"),
)
COVERAGE: tuple[tuple[str, ...], ...] = (("coverage", "combine", "--quiet"), ("coverage", "report"))


def main() -> int:
    """Run the steps; returns the exit status of the first that fails."""
    try:
        # Tests have deadlines: what has to be built takes minutes, and what is missing is said before any of them.
        find_livekit_server(ROOT)
        find_chromium()
        peer_command(ROOT, key="unused")
        install(ROOT / "tests/peers/openai_client")
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)
        return 2
    status = _each(CHECKS) or _lanes() or _each(COVERAGE)
    print("== not run here, for it takes minutes more: `make nodes`, on clusters of several nodes")
    return status


def _each(steps: tuple[tuple[str, ...], ...]) -> int:
    for step in steps:
        started_s = time.monotonic()
        status = subprocess.run(_command(step), cwd=ROOT).returncode
        _say(" ".join(step), status, started_s)
        if status:
            return status
    return 0


def _lanes() -> int:
    """Run the lanes at once, each into a file of its own; what it said is printed when it has ended."""
    started_s = time.monotonic()
    print(f"== mypy and pytest, {len(LANES)} lanes at once: some ten minutes until all have ended", flush=True)
    with contextlib.ExitStack() as files:
        running = [(lane, files.enter_context(tempfile.TemporaryFile("w+"))) for lane in LANES]
        lanes = [
            (lane, said, subprocess.Popen(_command(lane), cwd=ROOT, stdout=said, stderr=said)) for lane, said in running
        ]
        worst = 0
        try:
            for lane, said, process in reversed(lanes):
                worst = max(worst, abs(process.wait()))
                said.seek(0)
                print(said.read(), end="")
                _say(" ".join(lane), process.returncode, started_s)
        finally:
            for _, _, process in lanes:
                process.terminate()
    return worst


def _command(step: tuple[str, ...]) -> list[str | Path]:
    before = PATIENT if step[: len(PATIENT)] == PATIENT else ()
    name, *arguments = step[len(before) :]
    return [*before, BIN / name, *arguments]


def _say(what: str, status: int, started_s: float) -> None:
    print(f"== {what}: {'ok' if status == 0 else 'FAILED'} after {time.monotonic() - started_s:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
