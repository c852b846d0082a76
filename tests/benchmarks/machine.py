"""Checks whether this machine is idle enough for measurements."""

from __future__ import annotations

import os
import sys
import time

MAX_LOAD_PER_CORE = 0.8
MAX_WAIT_S = 120.0
"""The load is an average over one minute, so the previous benchmark's load fades within this time."""


def load_per_core() -> float:
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def machine_is_busy(force: bool) -> bool:
    """Wait for the load to fall; if it does not, print this on stderr and return True. `force` skips the check."""
    end_s = time.monotonic() + MAX_WAIT_S
    while not force and load_per_core() > MAX_LOAD_PER_CORE and time.monotonic() < end_s:
        time.sleep(2.0)
    if force or load_per_core() <= MAX_LOAD_PER_CORE:
        return False
    load = f"load {load_per_core():.2f} a core, at most {MAX_LOAD_PER_CORE}"
    print(f"The machine is busy: {load} (--force measures all the same).", file=sys.stderr)
    return True
