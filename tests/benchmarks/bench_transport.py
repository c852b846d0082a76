"""CPU time that the cost entries of a request take through `transport.py`, and through other connections.

Run it with `python -m tests.benchmarks.bench_transport`. Each has a client and a server process on uvloop, and the CPU
time of both is summed. Rounds take turns, so that other work on the machine meets all of them alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.transport.load import ACTOR, OWN, PEERS, SHIPPED, TransportFigures, TransportLoad

ROUNDS = 7
LOADS = {
    "1 caller": TransportLoad(callers=1, requests=1_200),
    "64 callers, vendors of 40 ms": TransportLoad(callers=64, requests=6_400, vendor_s=0.04),
    "64 callers at once": TransportLoad(callers=64, requests=19_200),
}
WARM_UP = TransportLoad(callers=64, requests=1_280)
"""The first calls pay for imports and connections."""
GOAL = 0.15
"""The share of CPU time that a connection without a library must save at every load, to be worth its code."""
STOP_TIMEOUT_S = 30.0


class TransportProcess:
    """A client process, which has started its server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, load: TransportLoad) -> TransportFigures:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(asdict(load)), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a transport's process ended; its own output above says why")
        return TransportFigures(**json.loads(line))


@contextmanager
def running(name: str) -> Iterator[TransportProcess]:
    """Yield a transport's two processes."""
    command = [sys.executable, "-m", "tests.benchmarks.transport.load", name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    try:
        yield TransportProcess(process)
    finally:
        process.stdin.close()
        process.wait(STOP_TIMEOUT_S)


def measure(names: Sequence[str]) -> dict[str, dict[str, list[TransportFigures]]]:
    """Return the figures of each round, by load and by transport."""
    figures: dict[str, dict[str, list[TransportFigures]]] = {load: {name: [] for name in names} for load in LOADS}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(running(name)) for name in names}
        for process in processes.values():
            process.run(WARM_UP)
        for number in range(ROUNDS):
            first = number % len(names)
            for load, values in LOADS.items():
                for name in [*names[first:], *names[:first]]:
                    figures[load][name].append(processes[name].run(values))
    return figures


def table(figures: dict[str, dict[str, list[TransportFigures]]]) -> Table:
    shown = Table("load", "transport", "CPU ms a request", "least to most", "entries a batch", "resends")
    for load, of_load in figures.items():
        for name, rounds in of_load.items():
            cpu_ms = [one.cpu_ms for one in rounds]
            shown.add_row(
                load,
                name,
                f"{median(cpu_ms):.3f}",
                f"{min(cpu_ms):.3f} to {max(cpu_ms):.3f}",
                f"{median(one.batch_entries for one in rounds):.1f}",
                str(rounds[-1].resends),
            )
    return shown


def main() -> int:
    """Print the figures; return 1 if a connection without a library saves the goal at every load."""
    figures = measure([SHIPPED, *PEERS, ACTOR])
    Console(width=120).print(table(figures))
    saved = []
    for load, of_load in figures.items():
        cpu_ms = {name: median(one.cpu_ms for one in rounds) for name, rounds in of_load.items()}
        saved.append(1 - cpu_ms[OWN] / cpu_ms[SHIPPED])
        Console().print(f"{load}: without a library {saved[-1]:.0%} less CPU than {SHIPPED}")
    return int(min(saved) >= GOAL)


if __name__ == "__main__":
    sys.exit(main())
