"""Run one shard as a child process: `python -m cluster.lab.load.shard_process`. It ends when its stdin closes."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from cluster.lab.load.shard import Shard, run_in_loop
from cluster.lab.load.tally import Progress
from cluster.lab.scenario.recorded_screens import load_recordings
from routing.process import freeze_startup_objects

READY = "ready"


def packed_shard(shard: Shard, result: Path) -> bytes:
    """Encode the first message on a child's stdin: the shard, and the path for its result."""
    payload = pickle.dumps((shard, str(result)))
    return struct.pack(">Q", len(payload)) + payload


def packed_start(starts_at_s: float) -> bytes:
    """Encode the second message: the start time."""
    return struct.pack(">d", starts_at_s)


def main() -> None:
    """Run the shard read from stdin; the end of stdin ends it early. Progress goes to stdout, a line a second."""
    (length,) = struct.unpack(">Q", sys.stdin.buffer.read(8))
    shard, result = pickle.loads(sys.stdin.buffer.read(length))
    recordings = load_recordings(shard.behaviour, shard.recordings_directory) if shard.replay else None
    freeze_startup_objects()
    print(READY, flush=True)
    if len(start := sys.stdin.buffer.read(8)) < 8:
        return
    shard = replace(shard, starts_at_s=struct.unpack(">d", start)[0])

    def report(progress: Progress) -> None:
        print(json.dumps(asdict(progress)), flush=True)

    def register_end(end: Callable[[], None]) -> None:
        def watch() -> None:
            sys.stdin.buffer.read()
            end()

        threading.Thread(target=watch, daemon=True).start()

    shard_result = run_in_loop(shard, report, register_end, recordings)
    temporary = Path(result).with_suffix(".new")
    temporary.write_bytes(pickle.dumps(shard_result))
    temporary.replace(result)


if __name__ == "__main__":
    main()
