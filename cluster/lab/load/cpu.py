"""Sum the CPU time of the app: of all descendants of this process, except excluded ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil

ExcludedPids = Callable[[], frozenset[int]]


class CpuMeter:
    """The CPU time of all descendants of this process, except `excluded` ones and their descendants.

    Ray's daemons leave their parent and become children of this process, because it is their subreaper.
    """

    def __init__(self, excluded: ExcludedPids) -> None:
        self._excluded = excluded
        self._used_s: dict[tuple[int, float], float] = {}
        self._baseline_s: dict[tuple[int, float], float] = {}

    def begin(self) -> None:
        """Start counting."""
        self.sample()
        self._baseline_s = dict(self._used_s)

    def sample(self) -> None:
        """Take a sample. CPU time between the last sample and the end of a process is lost."""
        for process in _descendants(psutil.Process(), self._excluded()):
            try:
                times = process.cpu_times()
                self._used_s[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue

    @property
    def cpu_s(self) -> float:
        """Return the CPU seconds since `begin`."""
        return sum(used_s - self._baseline_s.get(key, 0.0) for key, used_s in self._used_s.items())


def _descendants(process: psutil.Process, excluded: frozenset[int]) -> Iterator[psutil.Process]:
    for child in process.children():
        if child.pid in excluded:
            continue
        yield child
        try:
            yield from _descendants(child, frozenset())
        except psutil.Error:
            continue
