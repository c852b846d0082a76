"""Pins processes to cores, pauses them, and measures their CPU time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

Pids = tuple[int, ...]


@contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """Run the block, and all processes started in it, on these cores."""
    previous = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, previous)


def move(pids: Iterable[int], core: int) -> None:
    """Move every thread of running processes, and all processes that they start later, to a core."""
    for pid in pids:
        with suppress(FileNotFoundError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), {core})


def processes_off_core(pids: Iterable[int], core: int) -> list[str]:
    """Return the names of the processes that may also run on other cores."""
    names = []
    for pid in pids:
        with suppress(OSError, psutil.Error):
            if any(os.sched_getaffinity(int(thread)) != {core} for thread in os.listdir(f"/proc/{pid}/task")):
                names.append(psutil.Process(pid).name())
    return names


def descendants(pid: int, excluded_name: str | None = None) -> Pids:
    """Return the descendants of a process, except those named `excluded_name`."""
    processes = psutil.Process(pid).children(recursive=True)
    return tuple(process.pid for process in processes if _name(process) != excluded_name)


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time of processes and of their children that have ended and were waited for.

    A process that has ended is counted with its parent, so the sum over a process tree never falls.
    """
    total_s = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            total_s += sum(psutil.Process(pid).cpu_times()[:4])
    return total_s


def busy_s(core: int) -> float:
    """Return the busy time of a core, including the time stolen by other virtual machines."""
    times = psutil.cpu_times(percpu=True)[core]
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def pause(pids: Iterable[int]) -> None:
    """Stop processes with SIGSTOP, so that they use no CPU time of their core."""
    _signal(pids, signal.SIGSTOP)


def resume(pids: Iterable[int]) -> None:
    _signal(pids, signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return ""
