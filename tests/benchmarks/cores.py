"""Says which core processes run on, how much CPU they took, and which of them rest. Knows no gateway."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

Pids = tuple[int, ...]


@contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """Run the block, and every process started in it, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pids: Iterable[int], core: int) -> None:
    """Move every thread of running processes to a core, and with them all processes they start later."""
    for pid in pids:
        with suppress(FileNotFoundError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), {core})


def strays(pids: Iterable[int], core: int) -> list[str]:
    """Return the names of the processes that may run on another core too."""
    found = []
    for pid in pids:
        with suppress(OSError, psutil.Error):
            if any(os.sched_getaffinity(int(thread)) != {core} for thread in os.listdir(f"/proc/{pid}/task")):
                found.append(psutil.Process(pid).name())
    return found


def family(pid: int, without: str | None = None) -> Pids:
    """Return the descendants of a process, but for those of this name."""
    below = psutil.Process(pid).children(recursive=True)
    return tuple(process.pid for process in below if _name(process) != without)


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time that processes took, with that of the children they have seen the end of.

    A process that has ended counts with its parent, so a family's sum goes on rising as its members come and go.
    """
    total_s = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            total_s += sum(psutil.Process(pid).cpu_times()[:4])
    return total_s


def busy_s(core: int) -> float:
    """Return the busy time of a core, the machine's other guests included."""
    times = psutil.cpu_times(percpu=True)[core]
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def rest(pids: Iterable[int]) -> None:
    """Stop processes where they are, so that they take nothing from others on their core."""
    _signal(pids, signal.SIGSTOP)


def wake(pids: Iterable[int]) -> None:
    _signal(pids, signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return ""
