"""Own the started processes and their descendants: none of them outlives the run."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from routing.errors import RayroomError

_PR_SET_CHILD_SUBREAPER = 36
LAST_LINES = 15


class StartFailed(RayroomError):
    """A part of the run did not start."""

    code = "start_failed"


@dataclass
class Processes:
    """The processes of one run, each with its own log, stopped in reverse order.

    Ray's daemons leave their parent. As the subreaper, this process inherits them and can end them too. Processes
    that ran below this one before are not part of the run, and stay.
    """

    logs: Path
    _running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _earlier: Collection[psutil.Process] = ()

    async def __aenter__(self) -> Processes:
        self.logs.mkdir(parents=True, exist_ok=True)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._earlier = frozenset(psutil.Process().children())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.create_task(self._end_all()))

    async def start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        piped: bool = False,
    ) -> asyncio.subprocess.Process:
        """Start a process in its own session; with `piped`, its stdin and stdout are pipes."""
        with (self.logs / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                env={**os.environ, **(environment or {})},
                stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if piped else log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def check(self, names: Collection[str] | None = None) -> None:
        """Raise StartFailed with the end of its log if a process, of `names` or any, has ended."""
        for name, process in self._running.items():
            if process.returncode is not None and (names is None or name in names):
                raise StartFailed(f"{name} ended with status {process.returncode}:\n{self.tail(name)}")

    def pids(self, names: Collection[str]) -> frozenset[int]:
        """Return the ids of the running processes of `names`."""
        return frozenset(process.pid for name, process in self._running.items() if name in names)

    def has_logged(self, name: str, phrase: str) -> bool:
        """Return whether a process has written `phrase` to its log."""
        return phrase in (self.logs / f"{name}.log").read_text("utf-8", "replace")

    def tail(self, name: str) -> str:
        lines = (self.logs / f"{name}.log").read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])

    async def stop(self, name: str, grace_s: float) -> None:
        """Terminate a process, and kill it after `grace_s`."""
        process = self._running.pop(name, None)
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        # Only the process itself receives the signal: it stops its own children in the right order.
        for end in (process.terminate, lambda: _kill_group(process.pid)):
            if process.returncode is None:
                end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await process.wait()
                    return

    async def _end_all(self) -> None:
        for name in reversed(list(self._running)):
            await self.stop(name, grace_s=3.0)
        await asyncio.to_thread(_end_descendants, self._earlier)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _end_descendants(excluded: Collection[psutil.Process]) -> None:
    """Kill everything left below this process but `excluded`: inherited orphans and their new children too."""
    for _ in range(50):
        remaining = _descendants(excluded)
        if not remaining:
            return
        for process in remaining:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(remaining, timeout=0.5)
        _reap()


def _descendants(excluded: Collection[psutil.Process]) -> list[psutil.Process]:
    descendants = []
    for child in psutil.Process().children():
        if child not in excluded:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendants += child.children(recursive=True)
            descendants.append(child)
    return descendants


def _reap() -> None:
    """Reap inherited processes, because no other code waits for them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
