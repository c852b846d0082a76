"""`make test`: every check and every test, the quick ones first, with the coverage of the four packages."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from cluster.demo.livekit import find_livekit_server
from cluster.demo.peer import install, peer_command
from routing.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

STEPS: tuple[tuple[str, ...], ...] = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("coverage", "erase"),
    ("coverage", "run", "-m", "pytest"),
    ("coverage", "combine", "--quiet"),
    ("coverage", "report"),
)


def main() -> int:
    """Run the steps; returns the exit status of the first that fails."""
    try:
        # Tests have deadlines: what has to be built takes minutes, and what is missing is said before any of them.
        find_livekit_server(ROOT)
        peer_command(ROOT, key="unused")
        install(ROOT / "tests/peers/openai_client")
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)
        return 2
    for name, *arguments in STEPS:
        started_s = time.monotonic()
        status = subprocess.run([BIN / name, *arguments], cwd=ROOT).returncode
        print(f"== {name} {' '.join(arguments)}: {'ok' if status == 0 else 'FAILED'}", end=" ")
        print(f"after {time.monotonic() - started_s:.0f} s", flush=True)
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
