"""`make bench`: run all benchmarks, one after the other, each against its peer in the same run."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "bench_frames",
    "bench_decision",
    "bench_addressee",
    "bench_sight",
    "bench_hedging",
    "bench_simulator",
    "bench_requests",
    "bench_parsing",
    "bench_transport",
    "bench_journal",
    "bench_fairness",
    "bench_gateway",
    "bench_usage",
    "bench_voice",
)


def main() -> int:
    """Run them and return the highest exit status."""
    statuses = []
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        statuses.append(subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *sys.argv[1:]]).returncode)
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
