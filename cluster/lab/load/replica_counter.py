"""Print the number of running replicas every second: `python -m cluster.lab.load.replica_counter ADDRESS`.

It is a process of its own, because a process that joins a Ray cluster is a driver with Ray's warnings and signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from dataclasses import dataclass, field

EVERY_S = 1.0
RUNNING = "RUNNING"


@dataclass(slots=True)
class RunningReplicas:
    """The running replicas in the last report of a watching process; empty before the first."""

    counts: dict[str, int] = field(default_factory=dict)
    first_report: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    reader_task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Keep the last report until the stream ends."""
        while line := await stream.readline():
            with contextlib.suppress(ValueError):
                self.counts = json.loads(line)
                self.first_report.set()
        # The process has ended: a task that waits for its first report must not wait longer.
        self.first_report.set()


def main() -> None:
    """Join the cluster and print its replicas until stdin ends."""
    import ray
    from ray import serve

    ray.init(address=sys.argv[1], namespace="rayroom-load", log_to_driver=False, configure_logging=False)
    ended = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    while not ended.wait(EVERY_S):
        counts = {
            name: sum(count for state, count in deployment.replica_states.items() if _is_running(state))
            for application in serve.status().applications.values()
            for name, deployment in application.deployments.items()
        }
        print(json.dumps(counts), flush=True)


def _is_running(state: object) -> bool:
    """Compare a state or its value: Serve's model is annotated with the enum and holds the value."""
    return getattr(state, "value", state) == RUNNING


if __name__ == "__main__":
    main()
