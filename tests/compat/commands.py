"""Run other programs, and install Python packages into environments of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from routing.errors import RayroomError

ROOT = Path(__file__).parents[2]
INSTALL_TIMEOUT_S = 600.0
RUN_TIMEOUT_S = 900.0
SHOWN_CHARS = 3_000


class CommandFailed(RayroomError):
    """A program ended with another status than those expected, or not in time."""


async def output_of(
    command: Sequence[str], environment: dict[str, str], statuses: Sequence[int] = (0,), cwd: Path = ROOT
) -> str:
    """Run a program and return what it printed, errors included; raises CommandFailed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=_inherited() | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            printed, _ = await process.communicate()
    except TimeoutError:
        raise CommandFailed(f"{Path(command[0]).name} did not end in {RUN_TIMEOUT_S:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
    text = printed.decode(errors="replace")
    if process.returncode not in statuses:
        raise CommandFailed(f"{Path(command[0]).name} ended with {process.returncode}:\n{text[-SHOWN_CHARS:]}")
    return text


def installed(requirement: str) -> Path:
    """Return the Python of an environment below .tools that holds one requirement; install it if missing.

    Raises CommandFailed.
    """
    name = requirement.split("[")[0].split("==")[0] + "-" + requirement.split("==")[1]
    directory = ROOT / ".tools" / name
    python, stamp = directory / "bin" / "python", directory / "installed"
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.parent / "lock"):
        if not stamp.exists():
            print(f"installing {requirement} into .tools/{name}", file=sys.stderr, flush=True)
            _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(directory))
            _uv("pip", "install", "--quiet", "--python", str(python), requirement)
            stamp.touch()
    return python


def _uv(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("uv")), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if result.returncode != 0:
        raise CommandFailed(f"uv failed:\n{result.stderr[-SHOWN_CHARS:]}")


def _inherited() -> dict[str, str]:
    """Return this environment without settings that lead a client to another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTHON"))}
