"""Measures one routing decision (score, share and choice) over turns of all lengths."""

from __future__ import annotations

import random
import sys
import time
from statistics import quantiles

from rich.console import Console

from routing.catalogue import load_catalogue
from routing.complexity import score_text
from routing.models import Tier
from routing.policy import ServiceRoutes, choose
from routing.share import ShareControl, ShareTarget

DECISIONS = 20_000
GOAL_US = 200.0
WORDS = "show me the second chart and explain why its numbers are lower than those of the last quarter".split()


def run() -> list[float]:
    """Return the duration of each decision in microseconds."""
    rng = random.Random(7)
    turns = [" ".join(rng.choices(WORDS, k=rng.choice((3, 12, 40, 200, 5_000)))) for _ in range(200)]
    catalogue, share = load_catalogue(), ShareControl(ShareTarget(service="llm", share=0.3), rng)
    routes = ServiceRoutes(
        targets={Tier.SIMPLE: ("gpt-6-luna",), Tier.COMPLEX: ("gpt-6.1-sol",)}, threshold=0.5, attempts=2
    )
    durations_us = []
    for index in range(DECISIONS):
        began_ns = time.perf_counter_ns()
        choose("auto", score_text(turns[index % len(turns)]), routes, "llm", catalogue, share=share)
        durations_us.append((time.perf_counter_ns() - began_ns) / 1_000)
    return durations_us


def main() -> int:
    """Print the percentiles; return 1 if the median misses its goal."""
    parts = quantiles(run(), n=100)
    Console().print(f"one decision: p50 {parts[49]:.0f} us, p95 {parts[94]:.0f} us, p99 {parts[98]:.0f} us")
    return int(parts[49] > GOAL_US)


if __name__ == "__main__":
    sys.exit(main())
