"""Print the number of running replicas every second: `python -m cluster.lab.load.replica_counter ADDRESS`.

A process of its own, for who joins a Ray cluster is its driver, and gets its warnings and its signals.
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
    """How many replicas ran when a watching process last told; nothing before it did."""

    counts: dict[str, int] = field(default_factory=dict)
    told: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    reading: asyncio.Task[None] | None = field(default=None, repr=False)

    async def read(self, told: asyncio.StreamReader) -> None:
        """Keep what is told until nothing more is."""
        while line := await told.readline():
            with contextlib.suppress(ValueError):
                self.counts = json.loads(line)
                self.told.set()
        # Whoever waits for the first word of a process that has ended waits no longer.
        self.told.set()


def main() -> None:
    """Join the cluster and tell of it until stdin ends."""
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
    """Tell it of a state or of its value: Serve's model is annotated with the one and holds the other."""
    return getattr(state, "value", state) == RUNNING


if __name__ == "__main__":
    main()
