"""Sum the CPU time of the app: of all processes below this one, except those that are not the app's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil

Strangers = Callable[[], frozenset[int]]


class CpuMeter:
    """The CPU time of all processes below this one, except `strangers` and their descendants.

    Ray's daemons leave their parent, so they are found as ours: this process is the subreaper of its children.
    """

    def __init__(self, strangers: Strangers) -> None:
        self._strangers = strangers
        self._used_s: dict[tuple[int, float], float] = {}
        self._begun_s: dict[tuple[int, float], float] = {}

    def begin(self) -> None:
        """Count from now on."""
        self.sample()
        self._begun_s = dict(self._used_s)

    def sample(self) -> None:
        """Take a sample. CPU time between the last sample and the end of a process is lost."""
        for process in _below(psutil.Process(), self._strangers()):
            try:
                times = process.cpu_times()
                self._used_s[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue

    @property
    def cpu_s(self) -> float:
        """Return the CPU seconds since the beginning."""
        return sum(used_s - self._begun_s.get(key, 0.0) for key, used_s in self._used_s.items())


def _below(process: psutil.Process, strangers: frozenset[int]) -> Iterator[psutil.Process]:
    for child in process.children():
        if child.pid in strangers:
            continue
        yield child
        try:
            yield from _below(child, frozenset())
        except psutil.Error:
            continue
