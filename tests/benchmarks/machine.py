"""Says whether this machine is quiet enough to measure on. Knows no benchmark."""

from __future__ import annotations

import os
import sys
import time

MAX_LOAD_PER_CORE = 0.8
PATIENCE_S = 120.0
"""The load is a mean over a minute: the rest of the previous benchmark's load passes in that time."""


def load_per_core() -> float:
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def busy(force: bool) -> bool:
    """Wait for the load to fall, and say so on stderr when it does not; with `force` nobody is asked."""
    end_s = time.monotonic() + PATIENCE_S
    while not force and load_per_core() > MAX_LOAD_PER_CORE and time.monotonic() < end_s:
        time.sleep(2.0)
    if force or load_per_core() <= MAX_LOAD_PER_CORE:
        return False
    seen = f"load {load_per_core():.2f} a core, at most {MAX_LOAD_PER_CORE}"
    print(f"The machine is busy: {seen} (--force measures all the same).", file=sys.stderr)
    return True
