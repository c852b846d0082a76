"""Measures the use of the host: the worker's processor time, the machine's or the container's memory, and the lag."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from livekit.agents.utils.hw import get_cpu_monitor

from room_agent.host.admission import HostUse

CPU_EVERY_S = 5.0
"""The list of all processes is read this often: it takes some milliseconds."""
MEASURE_EVERY_S = 0.2
"""Before each of many jobs offered at once livekit-agents reads the load again."""
LAG_SLEEP_S = 0.005
LAG_WEIGHT = 0.1
"""At two measurements a second the lag is a mean over some five seconds: one late thread fills no worker."""
CGROUP = Path("/sys/fs/cgroup")


class HostMeter:
    """Measures this process and its children. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float], cgroup: Path = CGROUP) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cgroup = cgroup
        self._process = psutil.Process()
        self._cores = float(get_cpu_monitor().cpu_count())
        self._lag_s = self._cpu = 0.0
        self._measured_s = clock()
        self._asked_s = -MEASURE_EVERY_S
        self._cpu_s: dict[int, float] = self._cpu_times()
        self.use = self._now()

    def measure(self) -> HostUse:
        """Measure, store and return the use. It takes some milliseconds and blocks, so it runs in a thread."""
        with self._lock:
            began_s = self._clock()
            if began_s - self._asked_s >= MEASURE_EVERY_S:
                self._asked_s = began_s
                self._measure_lag(began_s)
                if began_s - self._measured_s >= CPU_EVERY_S:
                    self._measure_cpu(began_s)
                self.use = self._now()
        return self.use

    def _measure_lag(self, began_s: float) -> None:
        time.sleep(LAG_SLEEP_S)
        lag_s = max(0.0, self._clock() - began_s - LAG_SLEEP_S)
        self._lag_s += LAG_WEIGHT * (lag_s - self._lag_s)

    def _measure_cpu(self, now_s: float) -> None:
        before, self._cpu_s = self._cpu_s, self._cpu_times()
        # A process that ended meanwhile is left out, and a new one is counted from its start.
        spent_s = sum(max(0.0, spent_s - before.get(pid, 0.0)) for pid, spent_s in self._cpu_s.items())
        self._cpu = spent_s / (now_s - self._measured_s) / self._cores
        self._measured_s = now_s

    def _now(self) -> HostUse:
        total_mb, share = memory_of(self._cgroup)
        return HostUse(cores=self._cores, memory_mb=total_mb, cpu=self._cpu, memory=share, lag_s=self._lag_s)

    def _cpu_times(self) -> dict[int, float]:
        """Return the processor time of each process of this worker."""
        spent_s: dict[int, float] = {}
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                spent_s[process.pid] = times.user + times.system
        return spent_s


def memory_of(cgroup: Path) -> tuple[float, float]:
    """Return the memory of the container, or of the machine where it has no limit, in MB, and the used share of it."""
    machine = psutil.virtual_memory()
    with suppress(OSError, ValueError):
        limit = int((cgroup / "memory.max").read_text("ascii"))
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text("ascii").splitlines())
        # Pages of files that nobody reads are given back under pressure.
        used = int((cgroup / "memory.current").read_text("ascii")) - int(stat["inactive_file"])
        if limit < machine.total:
            return limit / 1e6, used / limit
    return machine.total / 1e6, machine.percent / 100
