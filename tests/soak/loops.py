"""Sample the tasks of the app's event loops, which its processes export as metrics of Ray."""

from __future__ import annotations

import re
from collections import defaultdict
from urllib.error import URLError
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families

from routing.telemetry.aggregator_metrics import COSTS_PREFIX
from routing.telemetry.router_metrics import LOOP_TASKS
from tests.soak.growth import LoopSample

EXPORTED = (f"ray_{LOOP_TASKS}", f"ray_{COSTS_PREFIX}event_loop_tasks")
TIMEOUT_S = 5.0
_PORT = re.compile(r"--metrics-export-port=(\d+)")


class SampledLoops:
    """The samples of each event loop, by the name of its process."""

    def __init__(self, root: int) -> None:
        self._root = root
        self.samples: dict[str, list[LoopSample]] = defaultdict(list)

    def sample(self, at_s: float) -> None:
        """Take one sample of each loop whose figure a node below the process exports."""
        for port in metric_ports(self._root):
            try:
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as response:
                    text = response.read().decode()
            except (URLError, OSError):
                continue
            for name, tasks in loop_tasks(text).items():
                self.samples[name].append(LoopSample(at_s=at_s, tasks=tasks))


def loop_tasks(text: str) -> dict[str, float]:
    """Return the number of tasks of each event loop in a node's metrics, by deployment and replica, or by shard."""
    # A node exports nearly a megabyte: only these lines are parsed.
    lines = [line for line in text.splitlines() if line.startswith(EXPORTED)]
    families = text_string_to_metric_families("\n".join([*lines, ""]))
    return {_name(sample.labels): sample.value for family in families for sample in family.samples}


def metric_ports(root: int) -> set[int]:
    """Return the Prometheus ports of Ray's nodes below a process."""
    ports = set[int]()
    try:
        for process in psutil.Process(root).children(recursive=True):
            found = _PORT.search(" ".join(process.cmdline()))
            if found:
                ports.add(int(found[1]))
    except psutil.Error:
        return ports
    return ports


def _name(labels: dict[str, str]) -> str:
    if "shard" in labels:
        return f"aggregator {labels['shard']}"
    return f"{labels['deployment']} {labels['replica']}"
