"""`make soak`: 200 synthetic rooms on a real cluster with faults, for 30 minutes; no process may grow.

The rooms are those of `rayroom load`, which starts Ray, the app and the emulated vendors. While it runs, each of its
processes is sampled; at the end a table says which grew, and the books have to agree.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tests.soak.growth import Sample, growths
from tests.soak.loops import SampledLoops
from tests.soak.processes import SampledProcesses

ROOT = Path(__file__).parents[2]
ROOMS = 200
LENGTH_S = 1_800.0
SAMPLE_EVERY_S = 5.0
FAULT_EVERY_S, FAULT_S = 120.0, 30.0
START_TIMEOUT_S = 600.0


def main() -> int:
    """Return 1 where a process grew, or the load's own exit status."""
    parser = argparse.ArgumentParser(description="Run rooms for a while, and look for growth.")
    parser.add_argument("--minutes", type=float, default=LENGTH_S / 60)
    parser.add_argument("--rooms", type=int, default=ROOMS)
    options = parser.parse_args()
    return asyncio.run(_soak(options.rooms, options.minutes * 60))


def scenario(rooms: int, length_s: float) -> dict[str, object]:
    """Return the scenario of a soak: the same rooms throughout, and a fault of a vendor every two minutes."""
    every_s = min(FAULT_EVERY_S, length_s / 3)
    faults = []
    for number in range(int(length_s / every_s)):
        from_s = (number + 0.5) * every_s
        kind = {"status": 503} if number % 2 else {"status": None, "slower_by_s": 3}
        faults.append({"vendor": "openai", "from_s": from_s, "to_s": from_s + min(FAULT_S, every_s / 3)} | kind)
    return {
        "name": "soak",
        "description": f"{rooms} rooms with a fault of OpenAI every {every_s:.0f} s.",
        "seed": 7,
        "length_s": length_s,
        "warm_up_s": min(60.0, length_s / 4),
        "arrivals": {"kind": "steady", "rooms": rooms},
        "rooms": {"frames_per_second": 0.5, "talk_share": 0.1, "question_every_s": 30},
        "tenants": {"count": 5},
        "vendors": {"faults": faults},
        "scaling": {
            "vision": {"min_replicas": 2, "max_replicas": 2, "max_ongoing_requests": 128},
            "llm": {"min_replicas": 1, "max_replicas": 1},
        },
        "targets": {"p95_ms": 15_000, "shed_share": 0.2},
    }


async def _soak(rooms: int, length_s: float) -> int:
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        file, out = Path(directory) / "soak.yaml", Path(directory) / "run"
        file.write_text(yaml.safe_dump(scenario(rooms, length_s)), "utf-8")
        command = [str(Path(sys.executable).with_name("rayroom")), "load", str(file), "--replay", "--out", str(out)]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        sampled, loops = SampledProcesses(process.pid), SampledLoops(process.pid)
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(length_s + START_TIMEOUT_S):
                while process.returncode is None:
                    await asyncio.to_thread(sampled.sample, time.monotonic() - began_s)
                    await asyncio.to_thread(loops.sample, time.monotonic() - began_s)
                    await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=SAMPLE_EVERY_S)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    grew = report(sampled, loops, length_s)
    return 1 if grew else abs(process.returncode or 0)


def report(sampled: SampledProcesses, loops: SampledLoops, length_s: float) -> list[str]:
    """Print the figures of each long-lived process after its warm-up and at the end; return those that grew."""
    longest = max(sampled.samples.values(), key=len, default=[])
    ended_s = longest[-1].at_s if longest else 0.0
    # The load itself is the last part of a run; before it Ray and the app start.
    began_s = max(0.0, ended_s - length_s)
    processes = sorted((f"{sampled.names[key][:36]} {key[0]}", samples) for key, samples in sampled.samples.items())
    sampled_of: dict[str, Mapping[str, Sequence[Sample]]] = {"process": dict(processes), "event loop": loops.samples}
    found = {
        kind: {name: growths(samples, began_s, ended_s) for name, samples in by_name.items()}
        for kind, by_name in sampled_of.items()
    }
    grew = [f"no {kind} was sampled" for kind, by_name in found.items() if not any(by_name.values())]
    print(f"{'process':44} {'figure':10} {'before':>9} {'after':>9}")
    for name, growth in ((name, one) for by_name in found.values() for name, all_ in by_name.items() for one in all_):
        if growth.figure in ("memory_mb", "tasks") or not growth.holds:
            mark = "" if growth.holds else "  GREW"
            print(f"{name:44} {growth.figure:10} {growth.before:9.1f} {growth.after:9.1f}{mark}")
        if not growth.holds:
            grew.append(name)
    counts = [sum(map(bool, by_name.values())) for by_name in found.values()]
    print(f"{counts[0]} processes and {counts[1]} event loops over {length_s:.0f} s; {len(grew)} figures grew")
    return grew


if __name__ == "__main__":
    sys.exit(main())
